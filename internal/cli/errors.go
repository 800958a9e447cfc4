package cli

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes of the program.
const (
	ExitOK     = 0
	ExitFailed = 1 // something that was to be done could not be: a server is not there, refuses, …
	ExitUsage  = 2 // a flag, an argument or an environment variable is wrong: all are named
)

// usageError is a mistake of whoever called the program.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage marks err as a usageError; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func usagef(format string, args ...any) error {
	return usage(fmt.Errorf(format, args...))
}

func exitCode(err error) int {
	var u *usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &u):
		return ExitUsage
	default:
		return ExitFailed
	}
}

// linesOf gives an error as lines, one for each mistake.
func linesOf(err error) []string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
