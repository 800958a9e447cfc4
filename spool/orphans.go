package spool

import (
	"errors"
	"io/fs"
)

// Orphans gives the folders below the same parent that other processes have left and that have
// records which are not acknowledged, opened for reading to the end: Read gives io.EOF there, Write
// ErrClosed. The caller closes them. Folders of running processes are never among them.
func (s *Spool) Orphans() ([]*Spool, error) { return orphansIn(s.fs, s.parent, s.config) }

// Orphans gives the left folders below dir as the method does, without a spool of one's own.
func Orphans(dir string, config Config) ([]*Spool, error) { return orphansIn(osFS{}, dir, config) }

func orphansIn(fsys filesystem, dir string, config Config) ([]*Spool, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	dirs, err := children(fsys, dir)
	if err != nil {
		return nil, err
	}
	var orphans []*Spool
	var errs []error
	for _, child := range dirs {
		f, err := claim(fsys, child, config.Service)
		if errors.Is(err, fs.ErrNotExist) { // discarded by another
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f == nil {
			continue
		}
		if idle(fsys, child) {
			f.release()
			continue
		}
		s, err := openFolder(fsys, dir, f, config, false)
		if errors.Is(err, errNoPosition) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s.Stats().Pending > 0 {
			orphans = append(orphans, s)
			continue
		}
		errs = append(errs, s.Close())
	}
	return orphans, errors.Join(errs...)
}
