package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the file's content durable, without its times.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR { //nolint:errorlint // a bare errno
			return err
		}
	}
}
