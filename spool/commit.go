package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Limits of what one sync makes durable.
const (
	batchRecords = 512
	batchBytes   = 1 << 20
)

// maintenance is how often the mark is saved and old segments are looked for.
const maintenance = time.Second

// run is the one goroutine that writes.
func (s *Spool) run() {
	defer close(s.ended)
	tick := time.NewTicker(maintenance)
	defer tick.Stop()
	for {
		select {
		case r := <-s.requests:
			s.commit(s.gather(r))
		case <-tick.C:
			s.maintain()
		case <-s.quit:
			return
		}
	}
}

// gather takes what else is waiting, up to the limits of a batch: all those who came while the batch
// before was synced.
func (s *Spool) gather(r *request) []*request {
	var batch []*request
	records, size := 0, int64(0)
	for {
		batch = append(batch, r)
		records += len(r.records)
		size += r.size
		if records >= batchRecords || size >= batchBytes {
			return batch
		}
		select {
		case r = <-s.requests:
		default:
			return batch
		}
	}
}

// commit writes and syncs the batch, and answers its requests.
func (s *Spool) commit(batch []*request) {
	now := s.config.Now().UnixNano()
	first := s.last + 1 // only this goroutine changes last
	seq := s.last
	var data, payload []byte
	var reserved int64
	for _, r := range batch {
		reserved += r.size
		for _, record := range r.records {
			seq++
			payload = appendPayload(payload[:0], record.encoded, s.folder.producer, seq)
			data = appendFrame(data, frame{seq: seq, time: now, id: record.id, payload: payload})
		}
	}
	err := s.append(data, first, now)
	if err != nil {
		// The kernel may have forgotten what it could not write: a second sync of the same file would
		// succeed without it. The batch goes to a new file, whose name says from where on it counts.
		s.config.Logger.Error("spool: write failed, trying a new segment", slog.String("folder", s.folder.dir), slog.Any("error", err))
		s.count(func(c *counts) { c.syncErrors++ })
		s.leaveSegment(first)
		if errors.Is(err, syscall.ENOSPC) {
			s.mu.Lock()
			s.removeAcknowledged(0) // what is only kept for a refill makes room
			s.mu.Unlock()
		}
		if err = s.append(data, first, now); err != nil {
			s.count(func(c *counts) { c.syncErrors++ })
			s.leaveSegment(first)
			err = fmt.Errorf("spool: write: %w", err)
		}
	}
	s.mu.Lock()
	s.reserved -= reserved
	if err == nil {
		s.last = seq
		s.ages.add(seq, now)
		close(s.changed)
		s.changed = make(chan struct{})
	} else {
		s.counts.failed += seq - s.last
		s.signalRoom()
	}
	s.mu.Unlock()
	for _, r := range batch {
		r.done <- err
	}
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
	if err := s.sync(active); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[len(s.segments)-1].size += int64(len(data))
	s.bytes += int64(len(data))
	return nil
}

// beginSegment makes a segment and makes it the active one.
func (s *Spool) beginSegment(first uint64, now int64) (*os.File, error) {
	path := filepath.Join(s.folder.dir, segmentName(first))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) { // of a failure before, and could not be removed then
		if err = os.Remove(path); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	_, err = f.Write(appendHeader(nil, now, first, s.folder.id))
	if err == nil {
		err = s.sync(f)
	}
	if err == nil {
		err = syncDir(s.folder.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != nil {
		err = s.active.Close()
	}
	s.active = f
	s.segments = append(s.segments, segment{path: path, first: first, created: now, size: headerSize})
	s.bytes += headerSize
	return f, err
}

// leaveSegment closes the active segment after a failure. If it has no synced record, it goes, as the
// next one gets its name.
func (s *Spool) leaveSegment(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		return
	}
	_ = s.active.Close() // it has failed already
	s.active = nil
	g := s.segments[len(s.segments)-1]
	if g.first < first {
		return
	}
	s.segments = s.segments[:len(s.segments)-1]
	s.bytes -= g.size
	if err := os.Remove(g.path); err != nil {
		s.config.Logger.Error("spool: a segment that failed cannot be removed", slog.String("file", g.path), slog.Any("error", err))
	}
}

// maintain saves the mark and removes segments that are acknowledged and old.
func (s *Spool) maintain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mark.saved != s.acknowledged {
		if err := s.mark.save(s.acknowledged); err != nil {
			s.config.Logger.Error("spool: the mark of what is acknowledged cannot be saved", slog.String("folder", s.folder.dir), slog.Any("error", err))
		}
	}
	s.removeAcknowledged(max(0, s.config.Retention))
}

// removeAcknowledged removes segments, but for the last one, that are acknowledged as a whole and
// whose last record is older than age. The caller holds mu.
func (s *Spool) removeAcknowledged(age time.Duration) {
	now := s.config.Now().UnixNano()
	removed := false
	for len(s.segments) > 1 {
		next := s.segments[1]
		if next.first-1 > s.acknowledged || now-next.created < int64(age) {
			break
		}
		if err := os.Remove(s.segments[0].path); err != nil {
			s.config.Logger.Error("spool: an acknowledged segment cannot be removed", slog.String("file", s.segments[0].path), slog.Any("error", err))
			break
		}
		s.bytes -= s.segments[0].size
		s.segments = s.segments[1:]
		removed = true
	}
	if removed {
		s.signalRoom()
	}
}
