// Package report has what the documents of all benchmarks have: on what they were made, and a part that people
// write.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"
)

// byHand begins the part of a document that is not made by a program.
const byHand = "<!-- by hand -->"

// Made gives the day and the machine, for behind "made": "on 2026-01-02 with go1.26.0 on linux/amd64, 2 CPUs,
// load 0.10 before the run".
func Made() string {
	return fmt.Sprintf("on %s with %s on %s/%s, %d CPUs, load %s before the run",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load())
}

// load gives the load of the last minute, where the system tells.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	one, _, found := strings.Cut(string(data), " ")
	if err != nil || !found {
		return "unknown"
	}
	return one
}

// Write writes a document to a file, whose part below the line "<!-- by hand -->" stays as it is. With no name
// it does nothing.
func Write(file string, document []byte) error {
	if file == "" {
		return nil
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if i := bytes.Index(old, []byte(byHand)); i >= 0 {
		document = append(append(bytes.Clone(document), '\n'), old[i:]...)
	}
	return os.WriteFile(file, document, 0o644) //nolint:gosec // a document for all
}
