package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// apart keeps OpenSearch on the first processor and this program off it, as if they were two machines: else the
// client takes from the server what it is measured against. undo lets both run everywhere again.
func (b *bench) apart(ctx context.Context) (undo func(), err error) {
	pid, err := processOf(ctx, b.address)
	if err != nil {
		return nil, err
	}
	var before, first, others unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read the processors: %w", err)
	}
	if before.Count() < 2 {
		return nil, fmt.Errorf("%d processor, want at least 2 to keep OpenSearch apart", before.Count())
	}
	others = before
	for i := 0; first.Count() == 0; i++ {
		if before.IsSet(i) {
			first.Set(i)
			others.Clear(i)
		}
	}
	undo = func() { _ = errors.Join(keep(pid, &before), keep(os.Getpid(), &before)) } // what is gone needs none
	if err := errors.Join(keep(pid, &first), keep(os.Getpid(), &others)); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

// processOf asks the server for its process, which must be on this machine.
func processOf(ctx context.Context, address string) (pid int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/_nodes/_local/process", http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	var answer struct {
		Nodes map[string]struct {
			Process struct{ ID int }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("processes of %s: %w", address, err)
	}
	for _, node := range answer.Nodes {
		pid = node.Process.ID
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid))); pid == 0 || err != nil {
		return 0, fmt.Errorf("OpenSearch is process %d, which is not on this machine", pid)
	}
	return pid, nil
}

// keep lets all threads of a process run on these processors only.
func keep(pid int, on *unix.CPUSet) error {
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, on); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep process %d apart: %w", pid, err)
		}
	}
	return nil
}
