package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
	_ "time/tzdata" // zones, also where the machine has none

	"github.com/joho/godotenv"
)

// environment gives a function that reads variables from the environment, and from the file those
// that are not in it. A file that is missing is an error only if it was asked for.
func environment(lookup func(string) (string, bool), file string, required bool) (func(string) string, error) {
	var fromFile map[string]string
	if file != "" {
		var err error
		fromFile, err = godotenv.Read(file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !required:
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("--env-file is %q, which does not exist", file)
		case errors.As(err, new(*fs.PathError)):
			return nil, fmt.Errorf("%s: %w", file, err)
		case err != nil:
			// The parser's error quotes the line, in which a password may stand.
			return nil, fmt.Errorf("%s is no file of NAME=value lines: use quotes around values with spaces or special characters", file)
		}
	}
	return func(name string) string {
		if v, ok := lookup(name); ok {
			return v
		}
		return fromFile[name]
	}, nil
}

// location reads AUDIT_TIMEZONE.
func location(getenv func(string) string) (*time.Location, error) {
	name := getenv("AUDIT_TIMEZONE")
	if name == "" {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("AUDIT_TIMEZONE is %q, want a zone such as UTC or Asia/Ho_Chi_Minh", name)
	}
	return loc, nil
}
