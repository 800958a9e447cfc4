package spool

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
)

// ballastName is a file that only takes space, which is given up for gap records and for what is put
// aside when the disk is full. Marks and losses need none, they are overwritten in place.
const ballastName = "ballast"

// ballastRoom is how much must be free for the ballast of that size, with something left for records.
func ballastRoom(size int64) int64 { return size + size/4 }

// holdBallast takes the space, if there is none yet and enough is free. Only run calls it, and Open does.
func (s *Spool) holdBallast(left space) {
	size := s.config.reserve() / 2
	s.mu.Lock()
	held := s.ballast
	s.mu.Unlock()
	if held || left.readOnly || left.bytes < ballastRoom(size) {
		return
	}
	path := filepath.Join(s.folder.dir, ballastName)
	f, err := s.fs.OpenFile(path, createFlags)
	if err == nil {
		err = errors.Join(f.Allocate(size), f.Close())
	}
	if err != nil {
		_ = s.fs.Remove(path) // it may not be there
		s.config.Logger.Debug("spool: no space can be kept in reserve", slog.String("file", path), slog.Any("error", err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ballast, s.spent = true, false
}

// dropBallast gives the space up, and reports whether there was any.
func (s *Spool) dropBallast() bool {
	s.mu.Lock()
	held := s.ballast
	s.ballast, s.spent = false, held
	s.mu.Unlock()
	if !held {
		return false
	}
	err := s.fs.Remove(filepath.Join(s.folderPath(), ballastName))
	return err == nil || errors.Is(err, fs.ErrNotExist)
}
