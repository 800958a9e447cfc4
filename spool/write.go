package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
)

// request is one call of Write on its way to the disk.
type request struct {
	records []record
	one     [1]record // room for the only one of most
	size    int64
	done    chan struct{} // closed when it is finished; nil: nobody waits

	// Guarded by the spool's mu.
	taken     bool // run has it
	finished  bool
	abandoned bool // the caller has not waited for it, or does not at all
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
	return s.WriteEncoded(ctx, records, nil)
}

// WriteEncoded is Write for records that are encoded already, as event.Encode does it. encoded may be nil, and
// so may each encoding; they must not be changed afterwards.
func (s *Spool) WriteEncoded(ctx context.Context, records []event.Record, encoded [][]byte) error {
	if !s.own {
		return fmt.Errorf("%w: %s is only drained", ErrClosed, s.folderPath())
	}
	if len(records) == 0 {
		return nil
	}
	degrade := s.beyondSoft(ctx)
	r := &request{done: make(chan struct{})}
	rejected := r.fill(records, encoded, degrade)
	var err error
	if len(r.records) > 0 {
		err = s.write(ctx, r)
		if err == nil && degrade {
			s.count(func(c *counts) { c.degraded += uint64(len(r.records)) })
		}
	}
	if len(rejected) > 0 {
		err = errors.Join(err, s.rejected(rejected, true))
	}
	failpoint.Hit(failpoint.EmitReturned)
	return err
}

// fill encodes the records that are not encoded yet, and gives the reasons why some cannot be.
func (r *request) fill(records []event.Record, encoded [][]byte, degrade bool) (rejected []error) {
	r.records = r.one[:0]
	if len(records) > 1 {
		r.records = make([]record, 0, len(records))
	}
	for i := range records {
		var known []byte
		if i < len(encoded) {
			known = encoded[i]
		}
		text, err := encodeFor(&records[i], known, degrade)
		if err == nil && len(text) > maxBody/2 {
			err = fmt.Errorf("%d bytes, want at most %d", len(text), maxBody/2)
		}
		if err != nil {
			rejected = append(rejected, fmt.Errorf("record %q: %w", records[i].LogID, err))
			continue
		}
		id := idOf(&records[i])
		r.records = append(r.records, record{id: id, encoded: text})
		r.size += int64(frameSize(id, len(text)+seqRoom))
	}
	return rejected
}

// rejected counts records that cannot be encoded, with wait as dropped does.
func (s *Spool) rejected(reasons []error, wait bool) error {
	reason := errors.Join(reasons...)
	s.count(func(c *counts) { c.rejected += uint64(len(reasons)) })
	if wait {
		s.dropped(event.GapInvalid, len(reasons), reason)
	} else {
		now := s.config.Now()
		s.mu.Lock()
		s.lose(event.Gap{Reason: event.GapInvalid, Count: uint64(len(reasons)), First: now, Last: now, Detail: reason.Error()})
		s.mu.Unlock()
	}
	return &RejectedError{Records: len(reasons), Err: reason}
}

// encodeFor gives the encoding without the closing brace; of the metadata only, with degrade. known is the
// encoding, if there is one.
func encodeFor(r *event.Record, known []byte, degrade bool) ([]byte, error) {
	if !degrade && r.ProducerID == "" && r.Seq == 0 {
		if open, ok := bytes.CutSuffix(known, []byte{'}'}); ok {
			return open, nil
		}
	}
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

// appendStamp appends what is behind the encoding in a payload. The encoding ends with the same members in the
// same order when package event writes them, see its table members.
func appendStamp(dst []byte, producer string, seq uint64) []byte {
	dst = append(dst, `,"producer_id":"`...)
	dst = append(dst, producer...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

// write waits for room and for the disk. While the disk is full it tries again for as long as it would
// wait for room.
func (s *Spool) write(ctx context.Context, r *request) error {
	n := uint64(len(r.records))
	var patience patience
	defer patience.stop()
	for {
		if err := s.enter(ctx, r, &patience); err != nil {
			if !errors.Is(err, ErrClosed) {
				s.count(func(c *counts) { c.full += n })
				s.dropped(fullReason(err), len(r.records), err)
			}
			return err
		}
		err := s.await(ctx, r)
		var disk *DiskError
		switch {
		case err == nil, errors.Is(err, ErrClosed), errors.Is(err, errMayBeWritten):
			return err
		case errors.As(err, &disk) && disk.Problem == ProblemFull && !patience.over(s.config.BlockTimeout):
			r = &request{records: r.records, size: r.size, done: make(chan struct{})}
			continue
		}
		s.count(func(c *counts) { c.failed += n })
		reason := event.GapDisk
		if disk == nil {
			reason = event.GapTimeout
		}
		s.dropped(reason, len(r.records), err)
		return err
	}
}

// fullReason gives the reason of the gap for an error of a spool that has no room.
func fullReason(err error) string {
	if errors.Is(err, ErrFull) {
		return event.GapFull
	}
	return event.GapDisk
}

// errMayBeWritten is wrapped by the error of a request that was taken: whether it is lost is found out
// when it is finished.
var errMayBeWritten = errors.New("the records may still be written")

// timers are for those who wait for the disk.
var timers = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}

// await waits for the end of a request that has entered. What run has not taken is not in the spool.
func (s *Spool) await(ctx context.Context, r *request) error {
	timeout := timers.Get().(*time.Timer) //nolint:forcetypeassert // only those are put
	timeout.Reset(s.config.CommitTimeout)
	defer func() {
		timeout.Stop()
		timers.Put(timeout)
	}()
	var err error
	select {
	case <-r.done:
		return r.err
	case <-timeout.C:
		err = fmt.Errorf("%w: not synced in %v", ErrTimeout, s.config.CommitTimeout)
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.finished:
		return r.err
	case r.taken:
		r.abandoned = true
		return fmt.Errorf("%w, %w", err, errMayBeWritten)
	}
	s.queue = slices.DeleteFunc(s.queue, func(other *request) bool { return other == r })
	s.reserved -= r.size
	s.signalRoom()
	return fmt.Errorf("%w, %d records were not written", err, len(r.records))
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

// enter puts the request into the queue of run when there is room for it, waiting as long as the configuration
// allows. The error is ErrFull, or a *DiskError if it is the disk that is full.
func (s *Spool) enter(ctx context.Context, r *request, patience *patience) error {
	for {
		s.mu.Lock()
		full := s.enterNow(r)
		if full == nil || errors.Is(full, ErrClosed) {
			s.mu.Unlock()
			return full
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

// enterNow is enter without waiting. The caller holds mu.
func (s *Spool) enterNow(r *request) error {
	switch {
	case s.stopped:
		return ErrClosed
	case s.problem == ProblemFull:
		return &DiskError{Problem: ProblemFull, Err: fmt.Errorf("no space for %d bytes in %s", r.size, s.folder.dir)}
	case s.bytes+s.reserved+r.size > s.config.room():
		return fmt.Errorf("%w: %s has %d bytes of at most %d, %d records wait for the stream", ErrFull, s.folder.dir, s.bytes, s.config.room(), s.last-s.acknowledged)
	}
	s.reserved += r.size
	s.queue = append(s.queue, r)
	s.wakeUp()
	return nil
}

// wakeUp tells run that there are requests. It never waits.
func (s *Spool) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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
