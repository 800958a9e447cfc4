package spool

import (
	"errors"
	"fmt"
	"io/fs"
)

// Problem is what is wrong with the disk, in a word; "" is nothing.
type Problem string

// The problems of a disk.
const (
	ProblemNone        Problem = ""
	ProblemFull        Problem = "full"           // no space, no quota, or the limit of the process for one file
	ProblemReadOnly    Problem = "read-only"      // mounted or made read-only, or without the right to write
	ProblemFailing     Problem = "failing"        // an input/output error, or one that is not known
	ProblemDescriptors Problem = "no descriptors" // the process or the machine has too many open files
	ProblemRemoved     Problem = "removed"        // the folder is not there any more
)

// DiskError is an error of the disk. The records were not written, or not durably.
type DiskError struct {
	// Problem says what it is.
	Problem Problem
	// Err is the error of the system.
	Err error
}

func (e *DiskError) Error() string {
	return fmt.Sprintf("spool: disk is %s: %v", e.Problem.words(), e.Err)
}

// Unwrap gives the error of the system.
func (e *DiskError) Unwrap() error { return e.Err }

func (p Problem) words() string {
	switch p {
	case ProblemDescriptors:
		return "not reached: no descriptors left"
	case ProblemRemoved:
		return "without the folder"
	default:
		return string(p)
	}
}

// errRemoved says that a file has no name any more: what is written to it is lost.
var errRemoved = fmt.Errorf("the file was removed while it was in use: %w", fs.ErrNotExist)

// errMoved says that the folder was moved away: it still exists, under another name.
var errMoved = errors.New("the folder was moved away, or another is in its place")

// classify gives err as a *DiskError.
func classify(err error) *DiskError {
	var known *DiskError
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, errRemoved) || errors.Is(err, errMoved) {
		return &DiskError{Problem: ProblemRemoved, Err: err}
	}
	return &DiskError{Problem: problemOf(err), Err: err}
}

// fill writes zeros: they take their place on file systems that cannot reserve it.
func fill(f file, size int64) error {
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}
