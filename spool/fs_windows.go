package spool

import (
	"errors"

	"golang.org/x/sys/windows"
)

// SyncDir does nothing: Windows has no such call, NTFS logs its names.
func (osFS) SyncDir(string) error { return nil }

// Links is 1: an open file cannot be removed.
func (osFile) Links() (int, error) { return 1, nil }

// problemOf says what an error number of the disk means.
func problemOf(err error) Problem {
	switch {
	case errors.Is(err, windows.ERROR_DISK_FULL), errors.Is(err, windows.ERROR_HANDLE_DISK_FULL):
		return ProblemFull
	case errors.Is(err, windows.ERROR_WRITE_PROTECT), errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return ProblemReadOnly
	case errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES):
		return ProblemDescriptors
	case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_PATH_NOT_FOUND):
		return ProblemRemoved
	}
	return ProblemFailing
}
