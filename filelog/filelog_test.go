package filelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/filelog"
)

var (
	_ audit.Sink        = (*filelog.Log)(nil)
	_ audit.DurableSink = (*filelog.Log)(nil)
)

func TestMain(m *testing.M) {
	// lumberjack has a goroutine that nothing ends (2.2.1).
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

func record(i int) event.Record {
	return event.Record{LogID: fmt.Sprintf("id-%d", i), Timestamp: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), Action: event.ActionAdd, ObjectRepr: "a\nline"}
}

func records(from, to int) (all []event.Record) {
	for i := from; i <= to; i++ {
		all = append(all, record(i))
	}
	return all
}

func open(t *testing.T, path string, config filelog.Config) *filelog.Log {
	t.Helper()
	l, err := filelog.Open(path, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func write(t *testing.T, l *filelog.Log, records ...event.Record) {
	t.Helper()
	if err := l.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// ids gives the ids of the lines of the file, "?" for those that are no records.
func ids(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range bytes.Lines(data) {
		r, err := event.Decode(bytes.TrimSpace(line))
		if err != nil {
			r.LogID = "?"
		}
		all = append(all, r.LogID)
	}
	return strings.Join(all, " ")
}

func TestWrite_oneLineEach(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "audit.log")
	l := open(t, path, filelog.Config{})
	write(t, l, records(1, 2)...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), records(3, 3)); !errors.Is(err, filelog.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	again := open(t, path, filelog.Config{})
	write(t, again, record(3))
	if got := ids(t, path); got != "id-1 id-2 id-3" {
		t.Errorf("the file has %q", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s has the mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
}

func TestWrite_rotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "audit.log"), filelog.Config{MaxSize: 1, MaxBackups: -1})
	long := record(0)
	long.Reason = strings.Repeat("x", 200<<10)
	const n = 30
	for i := range n {
		long.LogID = fmt.Sprintf("id-%d", i)
		write(t, l, long, long)
	}
	files, err := filepath.Glob(filepath.Join(dir, "audit*.log"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	lines := 0
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Size() > 1<<20 || info.Mode() != 0o600 {
			t.Errorf("%s has %d bytes and the mode %v (%v)", f, info.Size(), info.Mode(), err)
		}
		got := ids(t, f)
		if strings.Contains(got, "?") {
			t.Errorf("%s has half a line", f)
		}
		lines += len(strings.Fields(got))
	}
	if s := l.Stats(); lines != 2*n || s.Written != 2*n || s.Replaced != 0 {
		t.Errorf("%d lines, want %d: %+v", lines, 2*n, s)
	}
}

// TestWrite_fileTakenAway removes and renames the file, as people and logrotate do.
func TestWrite_fileTakenAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	l := open(t, path, filelog.Config{})
	write(t, l, record(1))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, l, record(2))
	if got := ids(t, path); got != "id-2" {
		t.Errorf("after it was removed, the file has %q", got)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil { // logrotate's create
		t.Fatal(err)
	}
	write(t, l, record(3))
	if one, two := ids(t, path+".1"), ids(t, path); one != "id-2" || two != "id-3" {
		t.Errorf("the files have %q and %q", one, two)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, l, record(4))
	if got := ids(t, path); got != "id-4" || l.Stats().Replaced != 3 {
		t.Errorf("after its folder was removed, the file has %q: %+v", got, l.Stats())
	}
}

func TestWrite_fullDisk_isCounted(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		return // it is Linux's
	}
	l := open(t, "/dev/full", filelog.Config{})
	if err := l.Write(t.Context(), records(1, 3)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v, want ENOSPC", err)
	}
	if s := l.Stats(); s.Failed != 3 || s.Written != 0 {
		t.Errorf("%+v", s)
	}
}

func TestOpen_halfALineIsEnded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"log_id":"cut of`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, filelog.Config{})
	write(t, l, record(1))
	if got := ids(t, path); got != "? id-1" {
		t.Errorf("the file has %q", got)
	}
}

func TestOpen_wrong(t *testing.T) {
	t.Parallel()
	if _, err := filelog.Open(t.TempDir(), filelog.Config{}); err == nil {
		t.Error("a folder was opened as a file")
	}
	if _, err := filelog.Open("", filelog.Config{}); err == nil {
		t.Error("no name is no error")
	}
	_, err := filelog.Open("x", filelog.Config{MaxSize: -1, MaxAge: time.Hour})
	if err == nil || !strings.Contains(err.Error(), "Config.MaxSize") || !strings.Contains(err.Error(), "Config.MaxAge") {
		t.Error(err)
	}
}

func TestWrite_concurrentSafe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path, filelog.Config{})
	var writing sync.WaitGroup
	for range 8 {
		writing.Go(func() {
			for i := range 50 {
				if err := l.Write(t.Context(), records(i, i+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if got := ids(t, path); len(strings.Fields(got)) != 800 || strings.Contains(got, "?") {
		t.Errorf("%d lines", len(strings.Fields(got)))
	}
}

// failing is a sink that is broken.
type failing struct{}

var errBroken = errors.New("broken")

func (failing) Write(context.Context, []event.Record) error { return errBroken }

func TestTee_aBrokenSinkDoesNotStopTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	sink := audit.Tee(failing{}, open(t, path, filelog.Config{}), nil)
	if err := sink.Write(t.Context(), records(1, 2)); !errors.Is(err, errBroken) {
		t.Errorf("%v, want what the broken one says", err)
	}
	if got := ids(t, path); got != "id-1 id-2" {
		t.Errorf("the file has %q", got)
	}
	if got, want := fmt.Sprint(sink), "tee(filelog_test.failing,filelog("+path+"),<nil>)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
