package spool

import (
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/internal/failpoint"
)

// maintenance is how often the folder and the volume are looked at, the mark is saved, and segments are
// looked for that can go.
const maintenance = time.Second

// maintain does what is done from time to time. Only run calls it, or who has not started it.
func (s *Spool) maintain() {
	s.look()
	s.measure()
	s.saveMark()
	s.reclaim()
	s.writeGaps(false)
	s.saveLosses()
}

// finish does what is left at the end of run.
func (s *Spool) finish() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	for batch := s.gather(false); len(batch) > 0; batch = s.gather(false) {
		s.commit(batch) // what has entered is written
	}
	s.writeGaps(true)
	s.saveLosses()
}

// trouble notes an error that no caller gets, and logs it once per problem. The caller holds mu.
func (s *Spool) trouble(what string, err error) {
	known := classify(err)
	if s.problem != known.Problem {
		s.config.Logger.Error("spool: trouble with the disk", slog.String("what", what), slog.String("folder", s.folder.dir), slog.Any("error", err))
	}
	s.problem = known.Problem
}

// measure looks at the volume: a disk that became full or read-only is seen without a write, and one
// that is no longer is used again.
func (s *Spool) measure() {
	left, err := s.fs.Space(s.folder.dir)
	if err != nil {
		return // look says more about it
	}
	s.mu.Lock()
	low := left.bytes < minSegment || left.inodes == 0 || s.spent && left.bytes < ballastRoom(s.config.reserve()/2)
	switch {
	case left.readOnly:
		s.trouble("the volume is read-only", &DiskError{Problem: ProblemReadOnly, Err: errors.New("mounted read-only")})
	case low && s.problem == ProblemNone:
		s.trouble("the volume is full", &DiskError{Problem: ProblemFull, Err: errors.New("no space or no inodes left")})
	case !low && (s.problem == ProblemFull || s.problem == ProblemReadOnly):
		s.problem = ProblemNone // the next write tells
		s.signalRoom()
	}
	left.known = true
	s.free = left
	s.mu.Unlock()
	if s.own {
		s.holdBallast(left)
	}
}

// saveMark saves how far the stream has confirmed.
func (s *Spool) saveMark() {
	s.mu.Lock()
	acknowledged := s.acknowledged
	s.mu.Unlock()
	if s.mark.saved == acknowledged {
		return
	}
	if err := s.mark.save(acknowledged); err != nil {
		s.mu.Lock()
		s.trouble("the mark of what is acknowledged cannot be saved", err)
		s.mu.Unlock()
	}
}

// reclaim removes segments that need not be kept any more; all that are acknowledged, if somebody waits
// for room.
func (s *Spool) reclaim() {
	s.mu.Lock()
	pressed := s.pressed
	s.pressed = false
	s.mu.Unlock()
	if pressed {
		s.reclaimAll()
		return
	}
	s.remove(func(next segment) bool {
		old := s.config.Now().UnixNano()-next.created >= int64(max(0, s.config.Retention))
		return old || next.first-1 <= s.indexed
	})
}

// reclaimAll removes all segments that are acknowledged, also before their time: the stream has their
// records, and what is to be written next would be nowhere.
func (s *Spool) reclaimAll() {
	n := s.remove(func(segment) bool { return true })
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 {
		s.reclaimed = true
		if s.problem == ProblemFull {
			s.problem = ProblemNone // the next write tells
		}
		s.signalRoom()
	}
}

// takeReclaimed reports whether segments went since it was asked last.
func (s *Spool) takeReclaimed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.reclaimed
	s.reclaimed = false
	return n
}

// remove removes the oldest segments, but for the last one, as long as they are acknowledged as a whole
// and may says so of the one behind. It gives their number.
func (s *Spool) remove(may func(next segment) bool) int {
	s.mu.Lock()
	var gone []segment
	for i := 0; i+1 < len(s.segments); i++ {
		if next := s.segments[i+1]; next.first-1 > s.acknowledged || !may(next) {
			break
		}
		gone = append(gone, s.segments[i])
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return 0
	}
	// With no other segment left the mark alone knows which sequences were used.
	s.saveMark()
	if err := s.mark.sync(); err != nil {
		s.mu.Lock()
		s.trouble("the mark of what is acknowledged cannot be synced", err)
		s.mu.Unlock()
		return 0
	}
	n := 0
	for _, g := range gone {
		if err := s.fs.Remove(g.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.mu.Lock()
			s.trouble("an acknowledged segment cannot be removed", err)
			s.mu.Unlock()
			break
		}
		s.mu.Lock()
		s.bytes -= g.size
		s.segments = s.segments[1:]
		s.signalRoom()
		s.mu.Unlock()
		n++
		failpoint.Hit(failpoint.SpoolSegmentDeleted)
	}
	return n
}
