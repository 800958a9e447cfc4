package spool

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormtrail/audit/event"
)

// WriteBestEffort takes the records into memory, in order with those of Write, and does not wait for the disk:
// they are written and synced with the next batch. It implements audit.BestEffortSink. What is in memory when the
// process dies is lost without a trace; it is at most Config.BestEffortBytes. All else that is lost
// is counted, and a gap record tells of it whatever Config.WhenFull says: at once if there is no room (the
// error wraps ErrFull or is a *DiskError), or later, when the disk does not take them, which only Stats and the
// gap record say. It never waits for room. Flush and Close write what is in memory.
func (s *Spool) WriteBestEffort(ctx context.Context, records []event.Record) error {
	if !s.own {
		return fmt.Errorf("%w: %s is only drained", ErrClosed, s.folderPath())
	}
	if len(records) == 0 {
		return nil
	}
	degrade := s.beyondSoft(ctx)
	r := &request{abandoned: true}
	rejected := r.fill(records, nil, degrade)
	var err error
	if n := len(r.records); n > 0 {
		if err = s.enterMemory(r); err == nil && degrade {
			s.count(func(c *counts) { c.degraded += uint64(n) })
		}
	}
	if len(rejected) > 0 {
		err = errors.Join(err, s.rejected(rejected, false))
	}
	return err
}

// enterMemory puts the request into the queue of run, or counts it as lost.
func (s *Spool) enterMemory(r *request) error {
	n := uint64(len(r.records))
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.enterMemoryNow(r)
	if err == nil || errors.Is(err, ErrClosed) {
		return err
	}
	s.counts.full += n
	s.lose(event.Gap{Reason: fullReason(err), Count: n, First: now, Last: now, Detail: err.Error()})
	return err
}

// enterMemoryNow is enterNow within the bounds of memory. The caller holds mu.
func (s *Spool) enterMemoryNow(r *request) error {
	if s.unsyncedBytes > 0 && s.unsyncedBytes+r.size > s.config.BestEffortBytes {
		return fmt.Errorf("%w: %d records wait for the disk in %d bytes of memory, Config.BestEffortBytes is %d", ErrFull, s.unsynced, s.unsyncedBytes, s.config.BestEffortBytes)
	}
	if err := s.enterNow(r); err != nil {
		return err
	}
	s.unsynced += uint64(len(r.records))
	s.unsyncedBytes += r.size
	return nil
}

// Flush waits until everything that was taken before is on the disk, or was counted as lost, or ctx ends.
func (s *Spool) Flush(ctx context.Context) error {
	r := &request{done: make(chan struct{})}
	s.mu.Lock()
	if s.stopped { // by Close, which writes everything
		s.mu.Unlock()
		return nil
	}
	s.queue = append(s.queue, r)
	s.wakeUp()
	s.mu.Unlock()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("spool: flush: %w", ctx.Err())
	}
}
