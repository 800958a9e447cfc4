package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
)

// Limits of what one sync makes durable.
const (
	batchRecords = 4096
	batchBytes   = 4 << 20
	// keptBuffer is how much memory run keeps for the next batch.
	keptBuffer = 2 << 20
	// busyRequests is how many requests in one batch say that there are many writers at once.
	busyRequests = 8
	// enoughRequests is how many are worth a sync at once, while the others still come.
	enoughRequests = 256
)

// run is the one goroutine that writes.
func (s *Spool) run() {
	defer close(s.ended)
	tick := time.NewTicker(maintenance)
	defer tick.Stop()
	busy := false
	for {
		select {
		case <-s.wake:
			batch := s.gather(busy)
			busy = len(batch) >= busyRequests
			s.commit(batch)
		case <-s.kick:
			s.saveLosses()
			s.reclaim()
			if s.rangeWaits() {
				s.writeGaps(false)
			}
		case <-tick.C:
			s.maintain()
		case <-s.quit:
			s.finish()
			return
		}
	}
}

// gather takes what is waiting, up to the limits of a batch: all those who came while the batch before was
// synced. While many write at once, those who had their records in that batch are just being woken, and most
// will be back in a moment: run lets them, as long as there come more. Otherwise it would alternate
// between two halves of the writers, with twice the syncs.
func (s *Spool) gather(busy bool) []*request {
	for known := -1; busy; {
		s.mu.Lock()
		n := len(s.queue)
		s.mu.Unlock()
		if n == known || n >= enoughRequests {
			break
		}
		known = n
		runtime.Gosched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	records, size, n := 0, int64(0), 0
	for n < len(s.queue) && records < batchRecords && size < batchBytes {
		r := s.queue[n]
		r.taken = true
		records += len(r.records)
		size += r.size
		n++
	}
	batch := s.queue[:n:n]
	if n == len(s.queue) {
		s.queue, s.taken = s.taken[:0], batch // by turns, as the batch is done when run comes back
		return batch
	}
	s.queue = slices.Clone(s.queue[n:])
	s.wakeUp()
	return batch
}

// commit writes and syncs the batch, and answers its requests.
func (s *Spool) commit(batch []*request) {
	if len(batch) == 0 { // who was waiting does not any more
		return
	}
	failpoint.Hit(failpoint.EmitEnqueued)
	n := 0
	for _, r := range batch {
		n += len(r.records)
	}
	records := make([]record, 0, n)
	unsynced, unsyncedBytes := uint64(0), int64(0)
	for _, r := range batch {
		records = append(records, r.records...)
		if r.done == nil {
			unsynced += uint64(len(r.records))
			unsyncedBytes += r.size
		}
	}
	settle := func() { // with mu, together with what counts them otherwise
		s.unsynced -= unsynced
		s.unsyncedBytes -= unsyncedBytes
	}
	err := s.persist(records, settle)
	if err != nil && classify(err).Problem == ProblemFull {
		s.reclaimAll() // what is only kept for a refill makes room
		if s.takeReclaimed() {
			err = s.persist(records, settle)
		}
	}
	now := s.config.Now()
	s.mu.Lock()
	if err != nil {
		settle()
	}
	for _, r := range batch {
		s.reserved -= r.size
		r.err, r.finished = err, true
		if err == nil {
			continue
		}
		if r.abandoned { // the caller has said that they may still be written, and now they are not
			s.counts.failed += uint64(len(r.records))
			if s.config.WhenFull == Drop || r.done == nil {
				s.lose(event.Gap{Reason: event.GapDisk, Count: uint64(len(r.records)), First: now, Last: now, Detail: err.Error()})
			}
		}
	}
	if err != nil {
		s.signalRoom()
	}
	s.mu.Unlock()
	failpoint.Hit(failpoint.EmitSynced)
	for _, r := range batch {
		if r.done != nil {
			close(r.done)
		}
	}
	clear(batch)
}

// persist gives the records their sequences, writes and syncs them, and makes them readable. If the disk
// refuses, it tries a new segment once. settle is called with mu when they count as written. Only run calls it,
// and Open before it starts run.
func (s *Spool) persist(records []record, settle func()) error {
	if len(records) == 0 { // only Flush waits
		return nil
	}
	s.mu.Lock()
	first, gone := s.last+1, s.gone // only this goroutine changes last
	s.mu.Unlock()
	if gone {
		return &DiskError{Problem: ProblemRemoved, Err: fmt.Errorf("%s: %w", s.folder.dir, errMoved)}
	}
	now := s.config.Now().UnixNano()
	seq := first - 1
	data := s.buffer[:0]
	for _, r := range records {
		seq++
		data = appendRecord(data, r, s.folder.producer, seq, now)
	}
	if cap(data) <= keptBuffer {
		s.buffer = data
	}
	err := s.append(data, first, now)
	if err != nil {
		// The kernel may have forgotten what it could not write: a second sync of the same file would
		// succeed without it. The batch goes to a new file, whose name says from where on it counts.
		s.config.Logger.Error("spool: write failed, trying a new segment", slog.String("folder", s.folder.dir), slog.Any("error", err))
		s.count(func(c *counts) { c.syncErrors++ })
		if !errors.Is(err, fs.ErrNotExist) || !s.look() { // else the folder was made again
			s.leaveSegment(first)
		}
		if err = s.append(data, first, now); err != nil {
			s.count(func(c *counts) { c.syncErrors++ })
			s.leaveSegment(first)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		known := classify(err)
		s.problem = known.Problem
		return known
	}
	if s.problem != ProblemNone {
		s.config.Logger.Info("spool: the disk takes records again", slog.String("folder", s.folder.dir))
	}
	s.problem = ProblemNone
	s.last = seq
	settle()
	s.ages.add(seq, now)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// append writes data, whose first record has the sequence first, to the active segment or a new one,
// and syncs it.
func (s *Spool) append(data []byte, first uint64, now int64) error {
	s.mu.Lock()
	active, n := s.active, len(s.segments)
	var size int64
	if active != nil {
		size = s.segments[n-1].size
	}
	s.mu.Unlock()
	if active == nil || size > headerSize && size+int64(len(data)) > s.config.SegmentBytes {
		var err error
		if active, err = s.beginSegment(first, now); err != nil {
			return err
		}
		size = headerSize
	}
	if _, err := active.WriteAt(data, size); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EmitWritten)
	if err := active.Sync(); err != nil {
		return err
	}
	if links, err := active.Links(); err != nil {
		return err
	} else if links == 0 {
		return errRemoved // it is synced, but to nowhere
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[len(s.segments)-1].size += int64(len(data))
	s.bytes += int64(len(data))
	return nil
}

// beginSegment makes a segment and makes it the active one.
func (s *Spool) beginSegment(first uint64, now int64) (file, error) {
	path := filepath.Join(s.folder.dir, segmentName(first))
	f, err := s.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if errors.Is(err, fs.ErrExist) { // of a failure before, and could not be removed then
		if err = s.fs.Remove(path); err == nil {
			f, err = s.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		}
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(encodeHeader(now, first, s.folder.id), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.fs.SyncDir(s.folder.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), s.fs.Remove(path))
	}
	s.mu.Lock()
	old := s.active
	s.active = f
	if n := len(s.segments); n > 0 && s.segments[n-1].first == first { // without a frame, found at the start
		s.bytes -= s.segments[n-1].size
		s.segments = s.segments[:n-1]
	}
	s.segments = append(s.segments, segment{path: path, first: first, created: now, size: headerSize})
	s.bytes += headerSize
	s.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil { // everything in it is synced
			s.config.Logger.Warn("spool: close a segment", slog.String("file", old.Name()), slog.Any("error", err))
		}
	}
	return f, nil
}

// leaveSegment closes the active segment after a failure. What was not synced is cut off, if the disk
// lets it; if the segment has no synced record, it goes, as the next one gets its name.
func (s *Spool) leaveSegment(first uint64) {
	s.mu.Lock()
	active := s.active
	if active == nil {
		s.mu.Unlock()
		return
	}
	s.active = nil
	g := s.segments[len(s.segments)-1]
	empty := g.first >= first
	if empty {
		s.segments = s.segments[:len(s.segments)-1]
		s.bytes -= g.size
	}
	s.mu.Unlock()
	var err error
	if empty {
		err = errors.Join(active.Close(), s.fs.Remove(g.path))
	} else {
		err = errors.Join(active.Truncate(g.size), active.Close())
	}
	if err != nil {
		s.config.Logger.Error("spool: a segment that failed is left as it is", slog.String("file", g.path), slog.Any("error", err))
	}
}
