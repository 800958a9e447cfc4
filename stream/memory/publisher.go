package memory

import (
	"context"
	"fmt"

	"github.com/gormtrail/audit/stream"
)

// Publisher is a stream.Publisher.
type Publisher struct {
	stream    *Stream
	name      string
	confirmed chan uint64
	done      chan struct{}

	// Guarded by stream.mu.
	lastSeq   uint64
	storedSeq uint64 // up to there it can be confirmed
	held      int    // messages taken, but not confirmed
	swallowed int    // of them those that are not stored
	err       error
}

// Publisher makes a publisher under the producer name; "" makes one whose repeated sequences are not
// dropped.
func (s *Stream) Publisher(ctx context.Context, producerName string) (*Publisher, error) {
	p := &Publisher{stream: s, name: producerName, confirmed: make(chan uint64, 1), done: make(chan struct{})}
	if err := s.register(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// Publish implements stream.Publisher.
func (p *Publisher) Publish(ctx context.Context, messages []stream.Message) error {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	last := p.lastSeq
	for _, m := range messages {
		if m.Seq <= last {
			return fmt.Errorf("%w: %d after %d", stream.ErrOrder, m.Seq, last)
		}
		last = m.Seq
	}
	for _, m := range messages {
		if err := p.waitForRoom(ctx); err != nil {
			return err
		}
		if len(m.Payload) > p.stream.maxMessage {
			return &stream.TooLargeError{Seq: m.Seq, Size: len(m.Payload), Limit: p.stream.maxMessage}
		}
		p.store(m)
	}
	return nil
}

func (p *Publisher) waitForRoom(ctx context.Context) error {
	for p.err == nil && ctx.Err() == nil && p.held >= stream.MaxUnconfirmed {
		changed := p.stream.changed
		p.stream.mu.Unlock()
		select {
		case <-changed:
		case <-p.done:
		case <-ctx.Done():
		}
		p.stream.mu.Lock()
	}
	if p.err == nil && ctx.Err() != nil {
		p.failLocked(fmt.Errorf("%w: publish: %w", stream.ErrClosed, ctx.Err()))
	}
	return p.err
}

func (p *Publisher) store(m stream.Message) {
	s := p.stream
	p.lastSeq = m.Seq
	p.held++
	if p.swallowed > 0 || s.swallowed {
		p.swallowed++
		return
	}
	p.storedSeq = m.Seq
	if p.name == "" || m.Seq > s.sequences[p.name] {
		if p.name != "" {
			s.sequences[p.name] = m.Seq
		}
		stored := m
		stored.Seq, stored.Offset = 0, s.first+int64(len(s.log))
		s.log = append(s.log, entry{message: &stored})
	}
	if !s.held {
		p.confirmAll()
	}
	s.signal()
}

// confirmAll confirms everything that was stored. The caller holds stream.mu.
func (p *Publisher) confirmAll() {
	if p.err != nil || p.held == p.swallowed {
		return
	}
	p.held = p.swallowed
	select {
	case <-p.confirmed:
	default:
	}
	p.confirmed <- p.storedSeq
}

// Confirmed implements stream.Publisher.
func (p *Publisher) Confirmed() <-chan uint64 { return p.confirmed }

// Done implements stream.Publisher.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// Err implements stream.Publisher.
func (p *Publisher) Err() error {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	return p.err
}

// Close implements stream.Publisher.
func (p *Publisher) Close() error {
	p.fail(stream.ErrClosed)
	return nil
}

func (p *Publisher) fail(err error) {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	p.failLocked(err)
}

func (p *Publisher) failLocked(err error) {
	if p.err == nil {
		p.err = err
		close(p.done)
		delete(p.stream.ends, p)
	}
}
