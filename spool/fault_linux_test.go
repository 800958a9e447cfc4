package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gormtrail/audit/event"
)

// jailed runs the test of that name again in a process of its own, with a mount table of its own where it is
// root, so that it may mount a small disk and set limits. Where the system allows no such thing, the
// versions with an injected disk are what remains; the log says so.
func jailed(t *testing.T) bool {
	t.Helper()
	if os.Getenv("SPOOL_TEST_JAIL") == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SPOOL_TEST_JAIL="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Logf("no namespaces here (%v): only the version with an injected disk runs", err)
		return false
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// smallDisk mounts a file system in memory of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestRealDiskFull(t *testing.T) {
	t.Parallel()
	if jailed(t) {
		fullDisk(t, osFS{}, filepath.Join(smallDisk(t, "512k"), "spool"))
	}
}

func TestRealReadOnlyMount(t *testing.T) {
	t.Parallel()
	if !jailed(t) {
		return
	}
	disk := smallDisk(t, "8m")
	remount := func(flags uintptr) error { return unix.Mount("", disk, "", unix.MS_REMOUNT|flags, "") }
	config := testConfig()
	config.SegmentBytes = minSegment
	dir := filepath.Join(disk, "spool")
	s := openOn(t, osFS{}, dir, config)
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Fatal(err)
	}
	// The kernel refuses while files are open for writing; a disk that fails is remounted by force.
	if err := remount(unix.MS_RDONLY); !errors.Is(err, unix.EBUSY) {
		t.Errorf("remount with open files: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := remount(unix.MS_RDONLY); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, config); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), dir) {
		t.Errorf("open: %v, want an error that names the folder", err)
	}
	left, err := osFS{}.Space(dir)
	if err != nil || !left.readOnly {
		t.Errorf("space %+v, %v", left, err)
	}
	if err := remount(0); err != nil {
		t.Fatal(err)
	}
	s = openOn(t, osFS{}, dir, config)
	if got := drain(t, s); len(got) != 1 {
		t.Errorf("%d records, want 1", len(got))
	}
}

// TestRealFileSizeLimit: fault row 24, as prlimit --fsize does. Writes end in the middle of a record.
func TestRealFileSizeLimit(t *testing.T) {
	t.Parallel()
	if !jailed(t) {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	dir := t.TempDir()
	config := testConfig()
	config.SegmentBytes, config.BlockTimeout, config.MaxBytes = 64<<10, -1, 8<<20
	s := openOn(t, osFS{}, dir, config)
	limit(t, unix.RLIMIT_FSIZE, 20_000)
	taken := 0
	for i := 1; i <= 100; i++ {
		if err := s.Write(t.Context(), padded(i, 1500)); err != nil {
			t.Fatalf("record %d: %v", i, err) // the next segment takes it
		}
		taken++
	}
	if stats := s.Stats(); stats.SyncErrors == 0 || stats.Segments < 5 {
		t.Errorf("%+v", stats)
	}
	var known *DiskError
	if err := s.Write(t.Context(), padded(0, 30_000)); !errors.As(err, &known) || known.Problem != ProblemFull || !errors.Is(err, unix.EFBIG) {
		t.Errorf("a record larger than a file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openOn(t, osFS{}, dir, config)
	if got := drain(t, s); len(got) != taken {
		t.Errorf("%d records, want %d", len(got), taken)
	}
}

// TestRealNoDescriptors: fault row 30, as prlimit --nofile does.
func TestRealNoDescriptors(t *testing.T) {
	t.Parallel()
	if !jailed(t) {
		return
	}
	dir := t.TempDir()
	config := testConfig()
	config.SegmentBytes, config.BlockTimeout = minSegment, -1
	s := openOn(t, osFS{}, dir, config)
	if err := s.Write(t.Context(), padded(1, 3000)); err != nil {
		t.Fatal(err)
	}
	var hogs []*os.File
	limit(t, unix.RLIMIT_NOFILE, 64)
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		hogs = append(hogs, f)
	}
	var known *DiskError
	if err := s.Write(t.Context(), padded(2, 3000)); !errors.As(err, &known) || known.Problem != ProblemDescriptors || !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v, want that there are no descriptors", err)
	}
	for _, f := range hogs {
		_ = f.Close()
	}
	if err := s.Write(t.Context(), padded(3, 3000)); err != nil {
		t.Fatal(err)
	}
	got := drain(t, s)
	if len(got) != 2 || got[0].ID != "id-1" || got[1].ID != "id-3" {
		t.Errorf("got %d records", len(got))
	}
	if lost := lostIn(t, s)[event.GapDisk]; lost != 1 {
		t.Errorf("gap records tell of %d lost, want 1", lost)
	}
}

func limit(t *testing.T, resource int, n uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(resource, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: n, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(resource, &old) })
}

// TestStraceSweep fails and kills the real calls of the system, one after the other, where strace is
// there; TestEveryCall_failsOrKills does it for each call without.
func TestStraceSweep(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Log("no strace here: TestEveryCall_failsOrKills covers the calls with an injected disk")
		return
	}
	upTo, step := 30, 23
	if long() {
		upTo, step = 120, 5
	}
	for _, call := range []string{"fdatasync", "fsync", "pwrite64", "openat", "ftruncate", "unlinkat", "pread64"} {
		for _, what := range []string{"error=EIO", "error=ENOSPC", "signal=KILL"} {
			t.Run(call+" "+what, func(t *testing.T) {
				t.Parallel()
				for when := 1; when <= upTo; when += step {
					inject := fmt.Sprintf("inject=%s:%s:when=%d", call, what, when)
					runLife(t, inject, nil, strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", inject, os.Args[0])
				}
			})
		}
	}
}
