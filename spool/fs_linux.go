package spool

import (
	"errors"

	"golang.org/x/sys/unix"
)

func (f osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f osFile) Allocate(size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fill(f, size)
	}
	return err
}

func (osFS) Space(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, err
	}
	left := space{bytes: int64(s.Bavail) * s.Bsize, inodes: int64(s.Ffree), readOnly: s.Flags&unix.ST_RDONLY != 0}
	if s.Files == 0 { // such as btrfs
		left.inodes = -1
	}
	return left, nil
}
