package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// Range picks records of a folder. Zero fields pick all.
type Range struct {
	// From and To are the first and the last sequence.
	From, To uint64
	// Since and Until are times at which records were written, Until excluded.
	Since, Until time.Time
}

// Has reports whether the entry is picked.
func (r Range) Has(e Entry) bool {
	return e.Seq >= r.From && (r.To == 0 || e.Seq <= r.To) &&
		(r.Since.IsZero() || !e.Time.Before(r.Since)) && (r.Until.IsZero() || e.Time.Before(r.Until))
}

// Refill gives records that the stream has confirmed once, and that are still kept, to be sent again:
// after a broker has lost what it had confirmed, or a store was restored to an older state. It is a
// relay.Queue with a producer name of its own, since the stream would confirm and drop everything that
// comes again under the old one. The records are the same: stores know them by their log_id.
//
// The folder may be in use: nothing is locked or changed. Its methods may be called concurrently, Read by
// one reader at a time.
type Refill struct {
	producer string
	within   Range
	upTo     uint64 // what is acknowledged

	reading sync.Mutex
	reader  *Reader

	mu           sync.Mutex
	acknowledged uint64
	large        uint64
}

// OpenRefill opens the folder of one producer for sending again what is in the range.
func OpenRefill(dir string, within Range) (*Refill, error) { return openRefill(osFS{}, dir, within) }

func openRefill(fsys filesystem, dir string, within Range) (*Refill, error) {
	reader, err := openReader(fsys, dir)
	if err != nil {
		return nil, err
	}
	data, err := readFile(fsys, filepath.Join(dir, markName))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	seq, ok := parseMark(data)
	if !ok {
		return nil, fmt.Errorf("spool: %s does not say what was confirmed: it is sent anyway when the folder is used again", filepath.Join(dir, markName))
	}
	return newRefill(reader, within, seq), nil
}

// newRefill makes one of a folder of which everything up to acknowledged was confirmed.
func newRefill(reader *Reader, within Range, acknowledged uint64) *Refill {
	if within.To > 0 {
		acknowledged = min(acknowledged, within.To)
	}
	// Short-lived names push lasting ones out of a broker's memory: one for each refill, which is rare.
	return &Refill{producer: "refill/" + event.NewID(time.Now()), within: within, upTo: acknowledged, reader: reader} //nolint:forbidigo // only makes a name
}

// Of gives the producer whose records they are.
func (r *Refill) Of() string { return r.reader.producer }

// Close closes the files.
func (r *Refill) Close() error {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.reader.Close()
}

// TooLarge gives how many records could not be sent because no message may be as large.
func (r *Refill) TooLarge() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.large
}

// Producer gives the name under which the records are sent again. It implements relay.Queue.
func (r *Refill) Producer() string { return r.producer }

// Acknowledged implements relay.Queue.
func (r *Refill) Acknowledged() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acknowledged
}

// Last implements relay.Queue.
func (r *Refill) Last(context.Context) (uint64, error) { return r.upTo, nil }

// Read gives the next records of the range, and io.EOF behind it. It implements relay.Queue.
func (r *Refill) Read(ctx context.Context, after uint64, limit int) ([]stream.Message, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	if from := r.within.From; from > 0 {
		after = max(after, from-1)
	}
	if r.reader.after != after {
		if err := r.reader.Seek(after); err != nil {
			return nil, err
		}
	}
	var messages []stream.Message
	for size := 0; len(messages) < limit && size < readBytes; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := r.reader.Next()
		if err == nil && e.Seq > r.upTo {
			err = io.EOF
		}
		if errors.Is(err, io.EOF) && len(messages) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		if !r.within.Has(e) {
			continue
		}
		messages = append(messages, stream.Message{ID: e.ID, Seq: e.Seq, Payload: e.Payload, Properties: properties})
		size += len(e.Payload)
	}
	return messages, nil
}

// Acknowledge implements relay.Queue.
func (r *Refill) Acknowledge(_ context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acknowledged = max(r.acknowledged, seq)
	return nil
}

// Quarantine only counts: the record stays where it is. It implements relay.Queue.
func (r *Refill) Quarantine(context.Context, stream.Message, error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.large++
	return nil
}
