package spool

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gormtrail/audit/event"
)

// request is one call of Write on its way to the disk.
type request struct {
	records []record
	size    int64
	done    chan error
}

// record is an encoded record, but for its producer and sequence.
type record struct {
	id      string
	encoded []byte // without the closing brace
}

// seqRoom is more than producer_id and seq add to an encoded record.
const seqRoom = 320

// Write puts the records into the spool, in order and without others between them, and returns when
// they are on the disk. It implements audit.Sink. The end of ctx ends the waiting, like a time-out.
func (s *Spool) Write(ctx context.Context, records []event.Record) error {
	if !s.own {
		return fmt.Errorf("%w: %s is only drained", ErrClosed, s.folder.dir)
	}
	if len(records) == 0 {
		return nil
	}
	r := &request{done: make(chan error, 1)}
	var rejected []error
	for i := range records {
		encoded, err := encode(&records[i])
		if err == nil && len(encoded) > maxBody/2 {
			err = fmt.Errorf("%d bytes, want at most %d", len(encoded), maxBody/2)
		}
		if err != nil {
			rejected = append(rejected, fmt.Errorf("record %q: %w", records[i].LogID, err))
			continue
		}
		id := idOf(&records[i])
		r.records = append(r.records, record{id: id, encoded: encoded})
		r.size += int64(frameSize(id, len(encoded)+seqRoom))
	}
	var err error
	if len(r.records) > 0 {
		err = s.write(ctx, r)
	}
	if len(rejected) == 0 {
		return err
	}
	s.count(func(c *counts) { c.rejected += uint64(len(rejected)) })
	return errors.Join(err, &RejectedError{Records: len(rejected), Err: errors.Join(rejected...)})
}

// encode gives the encoding without the closing brace, to which producer_id and seq are appended.
func encode(r *event.Record) ([]byte, error) {
	plain := *r
	plain.ProducerID, plain.Seq = "", 0
	encoded, err := event.Encode(plain)
	if err != nil {
		return nil, err
	}
	return encoded[:len(encoded)-1], nil
}

// appendPayload appends the whole encoding. The encoding ends with the same members in the same order
// when package event writes them, see its table members.
func appendPayload(dst, encoded []byte, producer string, seq uint64) []byte {
	dst = append(dst, encoded...)
	dst = append(dst, `,"producer_id":"`...)
	dst = append(dst, producer...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

func (s *Spool) write(ctx context.Context, r *request) error {
	if err := s.reserve(ctx, r.size); err != nil {
		s.count(func(c *counts) { c.full += uint64(len(r.records)) })
		return err
	}
	timeout := time.NewTimer(s.config.CommitTimeout)
	defer timeout.Stop()
	// Unbuffered: what run has not taken is not in the spool.
	select {
	case s.requests <- r:
	case <-s.quit:
		s.unreserve(r.size)
		return ErrClosed
	case <-timeout.C:
		s.unreserve(r.size)
		s.count(func(c *counts) { c.failed += uint64(len(r.records)) })
		return fmt.Errorf("%w: %d records waited for %v, and were not written", ErrTimeout, len(r.records), s.config.CommitTimeout)
	case <-ctx.Done():
		s.unreserve(r.size)
		s.count(func(c *counts) { c.failed += uint64(len(r.records)) })
		return fmt.Errorf("%w: %w, %d records were not written", ErrTimeout, ctx.Err(), len(r.records))
	}
	select {
	case err := <-r.done:
		return err
	case <-timeout.C:
		return fmt.Errorf("%w: not synced in %v, the records may still be written", ErrTimeout, s.config.CommitTimeout)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w, the records may still be written", ErrTimeout, ctx.Err())
	}
}

// reserve takes room for size bytes, waiting as long as the configuration allows.
func (s *Spool) reserve(ctx context.Context, size int64) error {
	var timeout <-chan time.Time
	for {
		s.mu.Lock()
		if s.bytes+s.reserved+size > s.config.MaxBytes {
			s.removeAcknowledged(0)
		}
		if s.bytes+s.reserved+size <= s.config.MaxBytes {
			s.reserved += size
			s.mu.Unlock()
			return nil
		}
		room, used, pending := s.room, s.bytes, s.last-s.acknowledged
		s.mu.Unlock()
		full := fmt.Errorf("%w: %s has %d bytes of at most %d, %d records wait for the stream", ErrFull, s.folder.dir, used, s.config.MaxBytes, pending)
		if s.config.BlockTimeout < 0 {
			return full
		}
		if timeout == nil {
			timer := time.NewTimer(s.config.BlockTimeout)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-room:
		case <-timeout:
			return full
		case <-s.quit:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", full, ctx.Err())
		}
	}
}

func (s *Spool) unreserve(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= size
	s.signalRoom()
}

// signalRoom wakes those who wait for room. The caller holds mu.
func (s *Spool) signalRoom() {
	close(s.room)
	s.room = make(chan struct{})
}

func (s *Spool) count(add func(c *counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add(&s.counts)
}
