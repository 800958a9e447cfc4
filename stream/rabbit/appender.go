package rabbit

import (
	"context"
	"fmt"
	"sync"

	"github.com/gormtrail/audit/stream"
)

// Appender adds messages to a stream one call after another, each confirmed before it returns: for
// dead letters. It has no producer name, so what is in doubt and appended again may be there twice.
type Appender struct {
	config Config

	mu        sync.Mutex
	publisher *Publisher // nil: none yet, or the last one failed
	seq       uint64
	closed    bool
}

// NewAppender gives an appender to the stream. It connects when it first appends, and again after a
// failure.
func NewAppender(config Config) (*Appender, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Appender{config: config}, nil
}

// Append publishes the messages, in order, and waits for the stream's confirm as long as ctx lives. It
// sets their Seq itself. After an error some of them may be in the stream. It may be called
// concurrently. If a message is too large, the error is a *stream.TooLargeError whose Seq is its number
// among messages, from 1, and nothing was published.
func (a *Appender) Append(ctx context.Context, messages ...stream.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return stream.ErrClosed
	}
	if len(messages) == 0 {
		return nil
	}
	for i, m := range messages {
		if framed(m) > maxFrame {
			return &stream.TooLargeError{Seq: uint64(i + 1), Size: len(m.Payload), Limit: maxFrame}
		}
	}
	if a.publisher != nil && a.publisher.Err() != nil {
		a.drop()
	}
	if a.publisher == nil {
		publisher, err := NewPublisher(ctx, a.config, "")
		if err != nil {
			return err
		}
		a.publisher = publisher
	}
	batch := make([]stream.Message, len(messages))
	for i, m := range messages {
		a.seq++
		m.Seq = a.seq
		batch[i] = m
	}
	if err := a.publisher.Publish(ctx, batch); err != nil {
		a.drop()
		return err
	}
	for {
		select {
		case upTo := <-a.publisher.Confirmed():
			if upTo >= a.seq {
				return nil
			}
		case <-a.publisher.Done():
			err := a.publisher.Err()
			a.drop()
			return err
		case <-ctx.Done():
			a.drop()
			return fmt.Errorf("rabbit: no confirm from %s: %w", a.config.Host, ctx.Err())
		}
	}
}

func (a *Appender) drop() {
	_ = a.publisher.Close()
	a.publisher = nil
}

// Close releases the connection. It may be called again.
func (a *Appender) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.publisher != nil {
		a.drop()
	}
	return nil
}
