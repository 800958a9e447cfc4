package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease_isReproducible builds the program in two folders, and gets the same bytes.
func TestRelease_isReproducible(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var sums [][]byte
	for _, folder := range []string{root, copyOf(t, root)} {
		dist := t.TempDir()
		cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "scripts", "release.sh"))
		// The copy has no repository that a revision could be taken from.
		cmd.Env = append(os.Environ(), "DIST="+dist, "PLATFORMS=linux/amd64", "GOFLAGS=-buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		sum, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		if out, err := exec.CommandContext(t.Context(), filepath.Join(dist, "auditlog-linux-amd64"), "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "auditlog ") {
			t.Errorf("it does not run: %v %s", err, out)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two folders, two programs:\n%s%s", sums[0], sums[1])
	}
}

// copyOf copies what the program is built from.
func copyOf(t *testing.T, root string) string {
	t.Helper()
	to := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.go", "*.mod", "*.sum", "scripts/release.sh",
		"query/viewer", "store/opensearch/*.json", "telemetry", "internal")
	list.Dir = root
	files, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o700
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
