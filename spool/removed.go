package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gormtrail/audit/event"
)

// look finds out whether the folder is still there. If it was removed, it makes it again, under the same
// name and with sequences that go on: nobody else can ever have it. What is still readable through open
// files is saved, and a gap record tells of the rest. A folder that was moved away exists, with its
// identity and what is in it: somebody may take it over there, so nothing is written until it is back.
// It reports whether the folder was made again. Only run calls it, or who has not started it.
func (s *Spool) look() bool {
	links, err := s.folder.lock.Links()
	if err != nil {
		return false
	}
	info, err := s.fs.Stat(s.folder.dir)
	switch {
	case err == nil && links > 0 && s.fs.SameFile(info, s.folder.info):
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.gone {
			s.config.Logger.Info("spool: the folder is back", slog.String("folder", s.folder.dir))
			s.gone = false
		}
		return false
	case err == nil && links == 0 && s.fs.SameFile(info, s.folder.info):
		err = s.relock()
		if err == nil {
			return false
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false // it may be there: an error of the disk, or no descriptors
	case links == 0:
		if err = s.restore(); err == nil {
			return true
		}
	default:
		err = fmt.Errorf("%s: %w", s.folder.dir, errMoved)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gone {
		s.config.Logger.Error("spool: the folder is not there any more", slog.String("folder", s.folder.dir), slog.Any("error", err))
	}
	s.gone, s.problem = true, ProblemRemoved
	return false
}

// relock makes the file of the lock again, if somebody removed it alone.
func (s *Spool) relock() error {
	lock, err := s.fs.OpenFile(filepath.Join(s.folder.dir, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if ok, err := s.fs.Lock(lock); err != nil || !ok {
		return errors.Join(err, lock.Close(), fmt.Errorf("%w: %s was taken over after its lock was removed", ErrInUse, s.folder.dir))
	}
	s.folder.release()
	s.folder.lock = lock
	s.config.Logger.Warn("spool: made the file of the lock again", slog.String("folder", s.folder.dir))
	return nil
}

// restore makes a removed folder again.
func (s *Spool) restore() error {
	old := s.folder
	if err := s.fs.MkdirAll(s.parent); err != nil {
		return err
	}
	if err := s.fs.Mkdir(old.dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	made := &folder{fs: s.fs, dir: old.dir, id: old.id, producer: old.producer}
	var err error
	if made.lock, err = s.fs.OpenFile(filepath.Join(old.dir, lockName), os.O_RDWR|os.O_CREATE); err != nil {
		return err
	}
	if ok, err := s.fs.Lock(made.lock); err != nil || !ok {
		return errors.Join(err, made.lock.Close(), fmt.Errorf("%w: %s was made again by somebody else", ErrInUse, old.dir))
	}
	if err = s.restoreInto(made); err != nil {
		made.release()
		return err
	}
	old.release()
	return nil
}

// restoreInto fills the folder that was made again.
func (s *Spool) restoreInto(made *folder) error {
	segments, _, err := listSegments(s.fs, made.dir)
	if err == nil && len(segments) > 0 {
		err = fmt.Errorf("%s was made again by somebody else, with segments", made.dir)
	}
	if err == nil {
		made.info, err = s.fs.Stat(made.dir)
	}
	if err == nil {
		err = made.writeIdentity()
	}
	if err == nil {
		err = s.fs.SyncDir(s.parent)
	}
	if err != nil {
		return err
	}
	m, _, _, err := openMark(s.fs, made.dir)
	if err != nil {
		return err
	}
	l, err := openLosses(s.fs, made.dir)
	if err != nil {
		return errors.Join(err, m.file.Close())
	}
	saved, active, err := s.saveActive(made.dir)
	if err != nil {
		return errors.Join(err, m.file.Close(), l.file.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.mark.file.Close() // they have no names any more
	_ = s.losses.file.Close()
	if s.active != nil {
		_ = s.active.Close()
	}
	s.losses.file, s.losses.changed = l.file, true
	s.mark, s.folder, s.active, s.ballast, s.gone, s.problem = m, made, active, false, false, ProblemNone
	upTo := s.last // what is behind is in the segment that was saved
	s.segments, s.bytes = nil, 0
	if saved.path != "" {
		s.segments, s.bytes, upTo = []segment{saved}, saved.size, saved.first-1
	}
	now := s.config.Now()
	gap := event.Gap{Reason: event.GapRemoved, First: now, Last: now, Detail: "the folder " + made.dir + " was removed while it was in use"}
	if upTo > s.acknowledged {
		gap.From, gap.To, gap.Count = s.acknowledged+1, upTo, upTo-s.acknowledged
		s.lostRanges = append(s.lostRanges, lostRange{gap.From, gap.To})
		s.skipLost()
	}
	s.lose(gap)
	s.config.Logger.Error("spool: the folder was removed while it was in use, and is made again", slog.String("folder", made.dir), slog.Uint64("lost", gap.Count))
	s.signalRoom()
	return nil
}

// saveActive copies the active segment, which can still be read, into the folder that was made again.
func (s *Spool) saveActive(dir string) (segment, file, error) {
	s.mu.Lock()
	active := s.active
	var g segment
	if active != nil {
		g = s.segments[len(s.segments)-1]
	}
	s.mu.Unlock()
	if active == nil {
		return segment{}, nil, nil
	}
	data := make([]byte, g.size)
	if n, err := active.ReadAt(data, 0); n < len(data) && !errors.Is(err, io.EOF) {
		return segment{}, nil, err
	}
	f, err := s.fs.OpenFile(g.path, createFlags)
	if err != nil {
		return segment{}, nil, err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		if err = f.Sync(); err == nil {
			err = s.fs.SyncDir(dir)
		}
	}
	if err != nil {
		return segment{}, nil, errors.Join(err, f.Close(), s.fs.Remove(g.path))
	}
	return g, f, nil
}
