package spool

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes the file's content durable, without its times.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
