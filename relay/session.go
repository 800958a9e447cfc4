package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/stream"
)

// session is the life of one publisher.
type session struct {
	relay     *Relay
	publisher stream.Publisher
	window    window
	pending   []stream.Message // read, but not published: the window has no room
	confirmed uint64           // up to where the publisher has confirmed
	watchdog  *time.Timer
	progress  bool
}

// errEnd says that the queue has no more, and everything is acknowledged.
var errEnd = errors.New("relay: end of the queue")

// session relays with one publisher until something goes wrong, ctx ends or the queue does (errEnd).
// progress says that something was confirmed.
func (r *Relay) session(ctx context.Context) (progress bool, err error) {
	publisher, err := r.connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = publisher.Close() }() // everything it could say was said by Err
	waits := r.waits(ctx)
	r.mu.Lock()
	r.stats.Connected = true
	r.stats.Connections++
	again := r.stats.Failures > 0
	if !waits {
		r.since = time.Time{}
	}
	r.mu.Unlock()
	if again {
		r.config.Logger.InfoContext(ctx, "relay: stream found again", slog.String("producer", r.queue.Producer()))
	}
	s := &session{relay: r, publisher: publisher, watchdog: time.NewTimer(r.config.ConfirmTimeout)}
	defer s.watchdog.Stop()
	err = s.run(ctx)
	return s.progress, err
}

func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	reader := reader{batches: make(chan []stream.Message), ended: make(chan struct{})}
	go func() {
		defer close(reader.ended)
		reader.err = s.relay.read(ctx, reader.batches)
	}()
	defer func() {
		cancel()
		<-reader.ended
	}()
	return s.loop(ctx, &reader)
}

// reader reads the queue beside the session.
type reader struct {
	batches chan []stream.Message
	ended   chan struct{}
	err     error // after ended was closed
}

func (s *session) loop(ctx context.Context, reader *reader) error {
	config := s.relay.config
	eof := false
	for {
		for s.pending != nil {
			n := s.window.room(s.pending, config.Window, s.relay.allowed())
			if n == 0 {
				break
			}
			batch := s.pending[:n]
			if s.pending = s.pending[n:]; len(s.pending) == 0 {
				s.pending = nil
			}
			if err := s.publish(ctx, batch); err != nil {
				return err
			}
		}
		if eof && s.pending == nil && len(s.window.entries) == 0 {
			return errEnd
		}
		next, ended := reader.batches, reader.ended
		if s.pending != nil {
			next = nil
		}
		if eof {
			ended = nil
		}
		select {
		case s.pending = <-next:
		case upTo := <-s.publisher.Confirmed():
			if err := s.confirm(ctx, upTo); err != nil {
				return err
			}
		case <-s.publisher.Done():
			return s.publisher.Err()
		case <-s.watchdog.C:
			if len(s.window.entries) > 0 {
				return fmt.Errorf("%w for %v of %d records", ErrNoConfirm, config.ConfirmTimeout, len(s.window.entries))
			}
		case <-ended: // after it has given everything that it read
			if eof = errors.Is(reader.err, io.EOF); !eof {
				return reader.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish publishes the batch and puts aside what is too large.
func (s *session) publish(ctx context.Context, batch []stream.Message) error {
	r := s.relay
	// A publisher may block for as long as the broker does not read.
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.ConfirmTimeout, fmt.Errorf("%w for %v while publishing", ErrNoConfirm, r.config.ConfirmTimeout))
	defer cancel()
	for len(batch) > 0 {
		if len(s.window.entries) == 0 {
			s.watchdog.Reset(r.config.ConfirmTimeout)
		}
		err := s.publisher.Publish(ctx, batch)
		handed := len(batch)
		var tooLarge *stream.TooLargeError
		if errors.As(err, &tooLarge) {
			for handed = 0; handed < len(batch) && batch[handed].Seq < tooLarge.Seq; {
				handed++
			}
		} else if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		failpoint.Hit(failpoint.PubSent)
		s.sent(batch[:handed])
		if batch = batch[handed:]; len(batch) == 0 || tooLarge == nil {
			return nil
		}
		if batch[0].Seq != tooLarge.Seq {
			return fmt.Errorf("relay: publisher says that message %d is too large, which it did not get", tooLarge.Seq)
		}
		if err := r.queue.Quarantine(ctx, batch[0], tooLarge); err != nil {
			return err
		}
		s.window.add(batch[0], true)
		batch = batch[1:]
		r.mu.Lock()
		r.stats.Quarantined++
		r.mu.Unlock()
		if err := s.confirm(ctx, s.confirmed); err != nil { // it may be the only one
			return err
		}
	}
	return nil
}

func (s *session) sent(messages []stream.Message) {
	if len(messages) == 0 {
		return
	}
	r := s.relay
	now := r.config.Now()
	for _, m := range messages {
		s.window.add(m, false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Sent += uint64(len(messages))
	for _, m := range messages {
		if m.Seq <= r.highest {
			r.stats.Resent++
		}
	}
	r.highest = max(r.highest, messages[len(messages)-1].Seq)
	r.stats.Unconfirmed = len(s.window.entries)
	if r.since.IsZero() {
		r.since = now
	}
}

func (s *session) confirm(ctx context.Context, upTo uint64) error {
	r := s.relay
	s.confirmed = max(s.confirmed, upTo)
	done, confirmed := s.window.confirm(s.confirmed)
	if done == 0 {
		return nil
	}
	s.watchdog.Reset(r.config.ConfirmTimeout)
	s.progress = true
	failpoint.Hit(failpoint.PubConfirmed)
	if err := r.queue.Acknowledge(ctx, done); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Confirmed += uint64(confirmed)
	r.stats.Unconfirmed = len(s.window.entries)
	r.stats.Blocked = false
	r.bytesAllowed = min(2*r.bytesAllowed, r.config.WindowBytes)
	if r.since = (time.Time{}); len(s.window.entries) > 0 {
		r.since = r.config.Now()
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// read gives the batches of the queue from the first that is not acknowledged on, until ctx or the
// queue ends.
func (r *Relay) read(ctx context.Context, batches chan<- []stream.Message) error {
	after := r.queue.Acknowledged()
	for {
		batch, err := r.queue.Read(ctx, after, r.config.Batch)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		failpoint.Hit(failpoint.RelayClaimed)
		after = batch[len(batch)-1].Seq
		if len(batch) < r.config.Batch && r.config.Linger > 0 {
			batch, after = r.linger(ctx, batch, after)
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// linger adds to a batch that is not full what comes within Config.Linger.
func (r *Relay) linger(ctx context.Context, batch []stream.Message, after uint64) ([]stream.Message, uint64) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Linger)
	defer cancel()
	for len(batch) < r.config.Batch {
		more, err := r.queue.Read(ctx, after, r.config.Batch-len(batch))
		if err != nil || len(more) == 0 {
			break // an error that lasts comes again with the next Read
		}
		// A new slice: the first one may be the queue's.
		batch = append(batch[:len(batch):len(batch)], more...)
		after = batch[len(batch)-1].Seq
	}
	return batch, after
}
