// Package scan reads a part of a stream that has an end: up to an offset, or up to what the stream held
// when the reading began.
package scan

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gormtrail/audit/stream"
)

// Source is a source that can say where its stream ends.
type Source interface {
	stream.Source
	stream.Inspector
}

// syncer is implemented by sources whose messages come from somewhere else; see rabbit.Source.Sync.
type syncer interface {
	Sync(ctx context.Context) error
}

const (
	// A stream counts as read to its end when nothing came in so many turns in a row. They are turns and
	// no span of time, so that a process that stood still for a while does not take that for the end.
	turns = 25
	turn  = 10 * time.Millisecond
	// beyond bounds how far behind the place that was the end at the beginning a reader goes: that place
	// is the beginning of a chunk, and a chunk has at most 65,535 entries.
	beyond = 1 << 16
)

// Reader gives the messages of a source up to an end. One goroutine owns it.
type Reader struct {
	source Source
	last   int64 // offset of the last message that is wanted
	ended  bool
}

// Open gives a reader that ends with the offset last, or where the stream ends now, whatever comes first.
// A negative last is the end of the stream. The reader does not close the source.
func Open(ctx context.Context, source Source, last int64) (*Reader, error) {
	bounds, err := source.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{source: source, last: last}
	switch {
	case bounds.Empty:
		r.ended = true
	case last < 0, last > bounds.Last+beyond:
		r.last = bounds.Last + beyond
	}
	return r, nil
}

// Last gives the offset at which the reader ends, or a place beyond the end of the stream.
func (r *Reader) Last() int64 { return r.last }

// Read gives the next messages, at most limit, and io.EOF at the end.
func (r *Reader) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	if r.ended {
		return nil, io.EOF
	}
	batch, err := r.next(ctx, limit)
	if err != nil {
		return nil, err
	}
	for i, m := range batch {
		if m.Offset > r.last {
			batch, r.ended = batch[:i], true
			break
		}
		r.ended = r.ended || m.Offset == r.last
	}
	if len(batch) == 0 {
		r.ended = true
		return nil, io.EOF
	}
	return batch, nil
}

// next gives what comes next; nothing at the end of the stream.
func (r *Reader) next(ctx context.Context, limit int) ([]stream.Message, error) {
	if batch, err := r.wait(ctx, limit); err != nil || len(batch) > 0 {
		return batch, err
	}
	// Credit that was given with the last messages is at work when the first answer has come, and what it
	// brought is here when the second has. What is in this process needs no answer.
	s, remote := r.source.(syncer)
	rounds := 1
	if remote {
		rounds = 2
	}
	for range rounds {
		if remote {
			if err := s.Sync(ctx); err != nil {
				return nil, err
			}
		}
		for range turns {
			batch, err := r.wait(ctx, limit)
			if err != nil || len(batch) > 0 {
				return batch, err
			}
		}
	}
	return nil, nil
}

// wait waits for a turn.
func (r *Reader) wait(ctx context.Context, limit int) ([]stream.Message, error) {
	waiting, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	batch, err := r.source.Read(waiting, limit)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return batch, err
}

// All calls f with all messages of the source up to the end.
func All(ctx context.Context, source Source, last int64, f func([]stream.Message) error) error {
	r, err := Open(ctx, source, last)
	if err != nil {
		return err
	}
	for {
		batch, err := r.Read(ctx, batchSize)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(batch); err != nil {
			return err
		}
	}
}

// batchSize is how many messages All reads at once.
const batchSize = 500

// First gives the offset of the first message that the source has; ok is false if it has none.
func First(ctx context.Context, source Source) (offset int64, ok bool, err error) {
	r, err := Open(ctx, source, -1)
	if err != nil {
		return 0, false, err
	}
	batch, err := r.Read(ctx, 1)
	if errors.Is(err, io.EOF) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return batch[0].Offset, true, nil
}
