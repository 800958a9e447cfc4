package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
)

// request is one call of Write on its way to the disk.
type request struct {
	records []record
	size    int64
	done    chan struct{} // closed when it is finished

	// Guarded by the spool's mu.
	finished  bool
	abandoned bool // the caller has not waited for it
	err       error
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
		return fmt.Errorf("%w: %s is only drained", ErrClosed, s.folderPath())
	}
	if len(records) == 0 {
		return nil
	}
	degrade := s.beyondSoft(ctx)
	var list []record
	var size int64
	var rejected []error
	for i := range records {
		encoded, err := encodeFor(&records[i], degrade)
		if err == nil && len(encoded) > maxBody/2 {
			err = fmt.Errorf("%d bytes, want at most %d", len(encoded), maxBody/2)
		}
		if err != nil {
			rejected = append(rejected, fmt.Errorf("record %q: %w", records[i].LogID, err))
			continue
		}
		id := idOf(&records[i])
		list = append(list, record{id: id, encoded: encoded})
		size += int64(frameSize(id, len(encoded)+seqRoom))
	}
	var err error
	if len(list) > 0 {
		err = s.write(ctx, list, size)
		if err == nil && degrade {
			s.count(func(c *counts) { c.degraded += uint64(len(list)) })
		}
	}
	if len(rejected) > 0 {
		reason := errors.Join(rejected...)
		s.count(func(c *counts) { c.rejected += uint64(len(rejected)) })
		s.dropped(event.GapInvalid, len(rejected), reason)
		err = errors.Join(err, &RejectedError{Records: len(rejected), Err: reason})
	}
	failpoint.Hit(failpoint.EmitReturned)
	return err
}

// encodeFor gives the encoding without the closing brace; of the metadata only, with degrade.
func encodeFor(r *event.Record, degrade bool) ([]byte, error) {
	encoded, err := encode(r)
	if err != nil || !degrade {
		return encoded, err
	}
	return encode(metadata(r, len(encoded)+1))
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

// write waits for room and for the disk. While the disk is full it tries again for as long as it would
// wait for room.
func (s *Spool) write(ctx context.Context, records []record, size int64) error {
	n := uint64(len(records))
	var patience patience
	defer patience.stop()
	for {
		if err := s.takeRoom(ctx, size, &patience); err != nil {
			if !errors.Is(err, ErrClosed) {
				s.count(func(c *counts) { c.full += n })
				reason := event.GapFull
				if !errors.Is(err, ErrFull) {
					reason = event.GapDisk
				}
				s.dropped(reason, len(records), err)
			}
			return err
		}
		err := s.submit(ctx, &request{records: records, size: size, done: make(chan struct{})})
		var disk *DiskError
		switch {
		case err == nil, errors.Is(err, ErrClosed), errors.Is(err, errMayBeWritten):
			return err
		case errors.As(err, &disk) && disk.Problem == ProblemFull && !patience.over(s.config.BlockTimeout):
			continue
		}
		s.count(func(c *counts) { c.failed += n })
		reason := event.GapDisk
		if disk == nil {
			reason = event.GapTimeout
		}
		s.dropped(reason, len(records), err)
		return err
	}
}

// errMayBeWritten is wrapped by the error of a request that was taken: whether it is lost is found out
// when it is finished.
var errMayBeWritten = errors.New("the records may still be written")

// submit hands the request to run, and waits for its end.
func (s *Spool) submit(ctx context.Context, r *request) error {
	timeout := time.NewTimer(s.config.CommitTimeout)
	defer timeout.Stop()
	// Unbuffered: what run has not taken is not in the spool.
	select {
	case s.requests <- r:
	case <-s.quit:
		s.giveRoom(r.size)
		return ErrClosed
	case <-timeout.C:
		s.giveRoom(r.size)
		return fmt.Errorf("%w: %d records waited for %v, and were not written", ErrTimeout, len(r.records), s.config.CommitTimeout)
	case <-ctx.Done():
		s.giveRoom(r.size)
		return fmt.Errorf("%w: %w, %d records were not written", ErrTimeout, ctx.Err(), len(r.records))
	}
	var err error
	select {
	case <-r.done:
	case <-timeout.C:
		err = fmt.Errorf("%w: not synced in %v, %w", ErrTimeout, s.config.CommitTimeout, errMayBeWritten)
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w, %w", ErrTimeout, ctx.Err(), errMayBeWritten)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.finished {
		return r.err
	}
	r.abandoned = true
	return err
}

// patience is a time-out that begins when it is needed.
type patience struct{ timer *time.Timer }

// begin gives the channel that ends the waiting.
func (p *patience) begin(d time.Duration) <-chan time.Time {
	if p.timer == nil {
		p.timer = time.NewTimer(d)
	}
	return p.timer.C
}

// over begins too, and reports whether it is over already.
func (p *patience) over(d time.Duration) bool {
	if d < 0 {
		return true
	}
	select {
	case <-p.begin(d):
		p.timer.Reset(0) // it stays over
		return true
	default:
		return false
	}
}

func (p *patience) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// takeRoom takes room for size bytes, waiting as long as the configuration allows. The error is ErrFull, or a
// *DiskError if it is the disk that is full.
func (s *Spool) takeRoom(ctx context.Context, size int64, patience *patience) error {
	for {
		s.mu.Lock()
		if s.problem != ProblemFull && s.bytes+s.reserved+size <= s.config.room() {
			s.reserved += size
			s.mu.Unlock()
			return nil
		}
		var full error
		if s.problem == ProblemFull {
			full = &DiskError{Problem: ProblemFull, Err: fmt.Errorf("no space for %d bytes in %s", size, s.folder.dir)}
		} else {
			full = fmt.Errorf("%w: %s has %d bytes of at most %d, %d records wait for the stream", ErrFull, s.folder.dir, s.bytes, s.config.room(), s.last-s.acknowledged)
		}
		room := s.room
		reclaim := len(s.segments) > 1 && s.segments[1].first-1 <= s.acknowledged
		s.pressed = s.pressed || reclaim
		s.mu.Unlock()
		wait := s.config.BlockTimeout
		if reclaim {
			s.poke()
			wait = max(wait, lossPatience) // it takes a moment
		}
		if wait < 0 {
			return full
		}
		select {
		case <-room:
		case <-patience.begin(wait):
			return full
		case <-s.quit:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", full, ctx.Err())
		}
	}
}

func (s *Spool) giveRoom(size int64) {
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

// beyondSoft reports whether there is so little room that only metadata is written.
func (s *Spool) beyondSoft(ctx context.Context) bool {
	if s.config.SoftBytes < 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	soft := s.bytes > s.config.SoftBytes && s.kept() > s.config.SoftBytes || s.free.known && s.free.bytes < s.config.reserve()/2
	if soft != s.soft {
		s.soft = soft
		if soft {
			s.config.Logger.WarnContext(ctx, "spool: little room is left, records are written without old and new values", slog.String("folder", s.folder.dir), slog.Int64("bytes", s.bytes))
		}
	}
	return soft
}

// metadata gives the record without the values of its changes, as one of size bytes that was cut.
func metadata(r *event.Record, size int) *event.Record {
	short := *r
	short.IsTruncated, short.UntruncatedSize = true, max(r.UntruncatedSize, int64(size))
	short.Changes = make([]event.Change, len(r.Changes))
	for i, c := range r.Changes {
		short.Changes[i] = event.Change{Field: c.Field, Label: c.Label, Type: c.Type, Redacted: c.Redacted, Truncated: true}
	}
	if _, isTable := r.ChangeMessage.Rows(); isTable {
		short.ChangeMessage = event.TextMessage(event.TextModified)
	}
	if r.RecordHash != "" {
		if hash, err := event.ContentHash(short); err == nil { // else encode says it
			short.RecordHash = hash
		}
	}
	return &short
}
