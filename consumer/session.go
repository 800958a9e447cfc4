package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/stream"
)

// session is the life of one source: one reader makes batches, several writers settle them in any order, and
// one settler, the goroutine that runs the session, commits what is settled without a hole.
type session struct {
	c      *Consumer
	source Source
	window *window
	todo   chan *batch
	// turn is odd while the reader waits for the first message of a batch, and goes up when that changes.
	turn     atomic.Int64
	received atomic.Bool // something: it is the active one

	mu       sync.Mutex
	troubled int // batches whose last attempt failed
}

// session carries batches from source until it fails or ctx ends. ctx ends reading, and that anything is
// begun; work ends what is being written. It gives why it ended.
func (c *Consumer) session(ctx, work context.Context, source Source, pauses *backoff) error {
	s := &session{c: c, source: source, window: newWindow(c.cfg.MaxHeld, c.cfg.MaxHeldBytes), todo: make(chan *batch)}
	alive, end := context.WithCancel(ctx)
	defer end()
	c.enter(StateRunning, nil)
	var others sync.WaitGroup
	defer func() {
		end()
		others.Wait()
		c.count(func(v *Stats) { v.Held, v.HeldBytes = 0, 0 })
	}()
	others.Go(func() { s.watch(alive) })

	var writers sync.WaitGroup
	for range c.cfg.MaxInFlight {
		writers.Go(func() {
			for b := range s.todo {
				s.settle(alive, work, b)
			}
		})
	}
	read := make(chan error, 1)
	written := make(chan struct{})
	others.Go(func() {
		read <- s.read(alive, pauses)
		end() // what has not begun to be written comes again
		close(s.todo)
		writers.Wait()
		close(written)
	})
	committed := s.commitAll(work, written)
	if committed != nil {
		end()
		<-written
	}
	if err := <-read; committed == nil {
		return err
	}
	return committed
}

// read makes batches until the source fails or alive ends.
func (s *session) read(alive context.Context, pauses *backoff) error {
	for {
		room := s.window.room(alive)
		if room == 0 {
			return alive.Err()
		}
		messages, err := s.collect(alive, min(room, s.c.cfg.BatchSize))
		if len(messages) > 0 {
			s.received.Store(true)
			failpoint.Hit(failpoint.ConsReceived)
			pauses.failures = 0
			s.c.notices.over("source")
			b := newBatch(messages)
			s.window.add(b)
			s.note()
			select {
			case s.todo <- b:
			case <-alive.Done():
				return alive.Err()
			}
		}
		if err != nil {
			return err
		}
	}
}

// collect reads a batch of at most so many messages: until it is full, or its first message has waited for
// BatchAge. It gives what it has read with the error that ended it.
func (s *session) collect(ctx context.Context, most int) ([]stream.Message, error) {
	cfg := &s.c.cfg
	s.turn.Add(1)
	messages, err := s.source.Read(ctx, most)
	s.turn.Add(1)
	if err != nil {
		return nil, err
	}
	size := sizeOf(messages)
	linger, cancel := context.WithTimeout(ctx, cfg.BatchAge)
	defer cancel()
	for err == nil && len(messages) < most && size < cfg.BatchBytes {
		var more []stream.Message
		if more, err = s.source.Read(linger, most-len(messages)); err == nil {
			size += sizeOf(more)
			messages = append(messages, more...)
		}
	}
	s.c.count(func(v *Stats) { v.Received += int64(len(messages)) })
	if err != nil && linger.Err() != nil && !errors.Is(err, stream.ErrClosed) {
		err = ctx.Err() // the batch is old enough, or ctx has ended
	}
	return messages, err
}

func sizeOf(messages []stream.Message) (n int) {
	for _, m := range messages {
		n += len(m.Payload)
	}
	return n
}

// commitAll commits what is settled, and tells the producers, until all is written. The error is the
// source's.
func (s *session) commitAll(work context.Context, written <-chan struct{}) error {
	p := progress{c: s.c, source: s.source, done: -1, committed: -1}
	commit := time.NewTicker(s.c.cfg.CommitInterval)
	defer commit.Stop()
	tell := time.NewTicker(s.c.cfg.WatermarkInterval)
	defer tell.Stop()
	alive := time.NewTicker(beatInterval)
	defer alive.Stop()
	for over := false; !over; {
		due, tellNow := false, false
		select {
		case <-s.window.settledMore:
		case <-commit.C:
			due = true
		case <-tell.C:
			tellNow = true
		case <-alive.C:
		case <-written:
			over = true
		}
		s.c.beat()
		offset, marks := s.window.settledNow()
		if len(marks) > 0 {
			p.finish(offset, len(marks))
			s.c.came(work, marks)
			s.note()
		}
		if err := p.commit(work, due, over); err != nil {
			return err
		}
		if tellNow || over {
			s.c.tell(work, p.committed)
		}
	}
	return nil
}

// idle gives a number while there is nothing to do: that of another time is another one.
func (s *session) idle() (turn int64, ok bool) {
	turn = s.turn.Load()
	held, _ := s.window.size()
	return turn, turn%2 == 1 && held == 0
}

// note puts into the numbers what is held.
func (s *session) note() {
	held, bytes := s.window.size()
	s.c.count(func(v *Stats) { v.Held, v.HeldBytes = held, bytes })
}

// progress knows up to where a source's messages are done and committed.
type progress struct {
	c               *Consumer
	source          Source
	done, committed int64 // -1: nothing
	pending         int   // messages done and not committed
}

func (p *progress) finish(offset int64, n int) {
	p.done = offset
	p.pending += n
	p.c.count(func(s *Stats) { s.Offset = max(s.Offset, p.done) })
}

// commit tells the stream how far everything is done, if it is time to, or at the end.
func (p *progress) commit(ctx context.Context, due, end bool) error {
	if p.done == p.committed || !due && !end && p.pending < commitEvery {
		return nil
	}
	if err := p.source.Commit(ctx, p.done); err != nil {
		return err
	}
	failpoint.Hit(failpoint.OffsetStored)
	p.committed, p.pending = p.done, 0
	p.c.count(func(s *Stats) { s.Committed = max(s.Committed, p.committed) })
	p.c.checkpoint(ctx, p.committed)
	return nil
}
