//go:build !linux

package spool

import (
	"os"
	"testing"
)

// freeze makes the folder unwritable.
func freeze(t *testing.T, dir string) (thaw func()) {
	t.Helper()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Chmod(dir, 0o700) }
}
