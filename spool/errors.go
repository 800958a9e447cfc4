package spool

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is returned, wrapped, by Write if the spool is at its size and nothing was acknowledged
	// within Config.BlockTimeout. The records were not written. A full disk is a *DiskError.
	ErrFull = errors.New("spool: full")
	// ErrTimeout is returned, wrapped, by Write if the disk took longer than Config.CommitTimeout. The
	// error says whether the records can still be written.
	ErrTimeout = errors.New("spool: disk too slow")
	// ErrClosed is returned after Close, and by Write of a spool that was opened for draining.
	ErrClosed = errors.New("spool: closed")
	// ErrInUse is returned, wrapped, by Open if this process has opened the folder already.
	ErrInUse = errors.New("spool: folder is in use")
	// ErrFormat is returned, wrapped, by Open if the files are of a newer version. They are not touched.
	ErrFormat = errors.New("spool: unknown format")
	// ErrTooMany is returned, wrapped, by Open if it would have to make a folder, and the parent has
	// Config.MaxFolders already.
	ErrTooMany = errors.New("spool: too many folders")
)

// errNoPosition says that a folder was in use once, and nothing tells which sequences.
var errNoPosition = errors.New("spool: the folder has lost its position")

// RejectedError says that records could not be encoded. The other records of the call were written.
type RejectedError struct {
	// Records is how many were not written.
	Records int
	// Err has the reasons.
	Err error
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("spool: %d records cannot be encoded: %v", e.Records, e.Err)
}

// Unwrap gives the reasons.
func (e *RejectedError) Unwrap() error { return e.Err }
