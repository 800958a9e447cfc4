package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

func testConfig() Config {
	return Config{SegmentBytes: 64 << 10, MaxBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
}

func testRecords(from, to int) []event.Record {
	var all []event.Record
	for i := from; i <= to; i++ {
		all = append(all, event.Record{LogID: fmt.Sprintf("id-%d", i), Timestamp: time.Unix(1e9, 0), Action: event.ActionAdd})
	}
	return all
}

func openTest(t testing.TB, dir string) *Spool {
	t.Helper()
	s, err := Open(dir, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// drain reads what is there, without waiting.
func drain(t testing.TB, s *Spool) []stream.Message {
	t.Helper()
	var all []stream.Message
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // only what need not be waited for
	for after := s.Acknowledged(); ; {
		messages, err := s.Read(ctx, after, 3)
		if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Seq <= after {
				t.Fatalf("sequence %d after %d", m.Seq, after)
			}
			after = m.Seq
		}
		all = append(all, messages...)
	}
}

// oneSegment makes a spool with n records in one segment, and gives the path and content of that.
func oneSegment(t testing.TB, dir string, n int) (path string, data []byte) {
	t.Helper()
	s := openTest(t, dir)
	for i := 1; i <= n; i++ {
		if err := s.Write(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(s.Folder(), segmentName(1))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// frameEnds gives the position behind each frame.
func frameEnds(t testing.TB, data []byte) []int {
	t.Helper()
	var ends []int
	for pos := headerSize; pos < len(data); {
		_, n, err := parseFrame(data[pos:])
		if err != nil {
			t.Fatal(err)
		}
		pos += n
		ends = append(ends, pos)
	}
	return ends
}

func TestTruncatedAtEachByte_losesOnlyTheTornFrame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := oneSegment(t, dir, 3)
	ends := frameEnds(t, data)
	for size := range len(data) + 1 {
		if err := os.WriteFile(path, data[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for want < len(ends) && ends[want] <= size {
			want++
		}
		s := openTest(t, dir)
		if got := drain(t, s); len(got) != want {
			t.Fatalf("cut at %d of %d: %d records, want %d", size, len(data), len(got), want)
		}
		if err := s.Write(t.Context(), testRecords(9, 9)); err != nil {
			t.Fatal(err)
		}
		all := drain(t, s)
		if m := all[len(all)-1]; m.Seq != uint64(want+1) || m.ID != "id-9" {
			t.Fatalf("cut at %d: the next record is %q with sequence %d, want %d", size, m.ID, m.Seq, want+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := openTest(t, dir)
		if got := drain(t, again); len(got) != want+1 {
			t.Fatalf("cut at %d, opened again: %d records, want %d", size, len(got), want+1)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		for _, segment := range []uint64{1, uint64(want + 1)} {
			_ = os.Remove(filepath.Join(filepath.Dir(path), segmentName(segment)))
		}
	}
}

func TestEachByteFlipped_losesOnlyThatRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := oneSegment(t, dir, 3)
	ends := frameEnds(t, data)
	for i := range data {
		if i >= 8 && i < 10 {
			continue // the version: of a newer format it is left alone
		}
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 0xff
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		hit := -1
		for n, end := range ends {
			if i < end && i >= headerSize {
				hit = n
				break
			}
		}
		s := openTest(t, dir)
		got := make(map[uint64]string)
		for _, m := range drain(t, s) {
			got[m.Seq] = m.ID
		}
		for n := range ends {
			want := fmt.Sprintf("id-%d", n+1)
			if n == hit {
				want = ""
			}
			if got[uint64(n+1)] != want {
				t.Fatalf("byte %d flipped: record %d is %q, want %q", i, n+1, got[uint64(n+1)], want)
			}
		}
		// The sequence of a damaged record may have been sent: it is not used again.
		if err := s.Write(t.Context(), testRecords(9, 9)); err != nil {
			t.Fatal(err)
		}
		last, _ := s.Last(t.Context())
		if last < 4 && hit != 2 || last < 3 {
			t.Fatalf("byte %d flipped: the next record has the sequence %d", i, last)
		}
		stats := s.Stats()
		if hit >= 0 && stats.DamagedBytes+stats.CutBytes == 0 {
			t.Fatalf("byte %d flipped: not counted: %+v", i, stats)
		}
		if hit >= 0 && hit < 2 && stats.Lost != 1 {
			t.Fatalf("byte %d flipped: %d records lost, want 1", i, stats.Lost)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{segmentName(last), "acknowledged"} {
			_ = os.Remove(filepath.Join(filepath.Dir(path), name))
		}
	}
}

func TestDamagedSequence_isNotUsedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := oneSegment(t, dir, 3)
	data[len(data)-2] ^= 0xff // in the payload of the last record
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	if err := s.Write(t.Context(), testRecords(4, 4)); err != nil {
		t.Fatal(err)
	}
	all := drain(t, s)
	if len(all) != 3 || all[2].Seq != 4 {
		t.Fatalf("got %d records, the last with sequence %d; want 3 and 4", len(all), all[len(all)-1].Seq)
	}
	// The lost one does not hold up the acknowledgement.
	if err := s.Acknowledge(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if stats := s.Stats(); stats.Acknowledged != 3 || stats.Pending != 1 || stats.Lost != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestDamagedMiddleSegment_wholeFileGarbage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := testConfig()
	config.SegmentBytes = minSegment
	s, err := Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 100; i++ {
		if err := s.Write(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	segments := s.segments
	if len(segments) < 4 {
		t.Fatalf("%d segments", len(segments))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[1].path, make([]byte, 3000), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	got := drain(t, s)
	lost := int(segments[2].first - segments[1].first)
	if len(got) != 100-lost || s.Stats().Lost != uint64(lost) {
		t.Errorf("%d records and %d lost, want %d and %d", len(got), s.Stats().Lost, 100-lost, lost)
	}
	again := drain(t, s)
	if len(again) != len(got) || s.Stats().Lost != uint64(lost) {
		t.Errorf("read again: %d records and %d lost", len(again), s.Stats().Lost)
	}
}

func TestSyncError_once_goesToANewSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := s.Write(t.Context(), testRecords(1, 3)); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	failed := make(map[string]bool)
	s.sync = func(f *os.File) error {
		if failed[f.Name()] {
			t.Errorf("%s is synced again after its sync has failed", f.Name())
		}
		if calls.Add(1) == 1 {
			failed[f.Name()] = true
			return errors.New("input/output error")
		}
		return syncData(f)
	}
	if err := s.Write(t.Context(), testRecords(4, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), testRecords(6, 6)); err != nil {
		t.Fatal(err)
	}
	check := func(s *Spool) {
		t.Helper()
		got := drain(t, s)
		if len(got) != 6 {
			t.Fatalf("%d records, want 6", len(got))
		}
		for i, m := range got {
			if m.Seq != uint64(i+1) || m.ID != fmt.Sprintf("id-%d", i+1) {
				t.Fatalf("record %d is %q with sequence %d", i+1, m.ID, m.Seq)
			}
		}
	}
	check(s)
	if stats := s.Stats(); stats.SyncErrors != 1 || stats.Failed != 0 || stats.Lost != 0 || stats.DamagedBytes != 0 {
		t.Errorf("%+v", stats)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The file that failed has records 4 and 5 as well: they count once.
	check(openTest(t, dir))
}

func TestSyncError_forEver_isTold_andHeals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("input/output error")
	s.sync = func(*os.File) error { return broken }
	for i := range 3 {
		if err := s.Write(t.Context(), testRecords(10+i, 10+i)); !errors.Is(err, broken) {
			t.Fatalf("got %v, want %v", err, broken)
		}
	}
	if stats := s.Stats(); stats.Failed != 3 || stats.Written != 1 || stats.Pending != 1 {
		t.Errorf("%+v", stats)
	}
	s.sync = syncData
	if err := s.Write(t.Context(), testRecords(2, 2)); err != nil {
		t.Fatal(err)
	}
	got := drain(t, s)
	if len(got) != 2 || got[1].ID != "id-2" || got[1].Seq != 2 {
		t.Errorf("got %v", got)
	}
}

func TestDiskFull_acknowledgedSegmentsMakeRoom(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.SegmentBytes = minSegment
	s, err := Open(t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := 1; i <= 60; i++ {
		if err := s.Write(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stats().Segments
	s.sync = func(f *os.File) error {
		if s.Stats().Segments >= before {
			return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return syncData(f)
	}
	if err := s.Write(t.Context(), testRecords(61, 61)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("nothing is acknowledged: got %v, want ENOSPC", err)
	}
	if err := s.Acknowledge(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), testRecords(61, 61)); err != nil {
		t.Errorf("everything is acknowledged: %v", err)
	}
	if got := drain(t, s); len(got) != 1 || got[0].Seq != 61 {
		t.Errorf("got %v, want the one that is not acknowledged", got)
	}
}

func TestGroupCommit_sharesSyncs(t *testing.T) {
	t.Parallel()
	s := openTest(t, t.TempDir())
	var syncs atomic.Int32
	release := make(chan struct{})
	s.sync = func(f *os.File) error {
		if syncs.Add(1) == 3 { // 1 and 2: the new segment and the first record
			<-release
		}
		return syncData(f)
	}
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Fatal(err)
	}
	const callers = 50
	errs := make(chan error, callers)
	for i := range callers {
		go func() { errs <- s.Write(context.Background(), testRecords(i, i)) }()
	}
	// All have taken room: they are in the batch that is held up, or on their way into the next one.
	for ready := false; !ready; {
		s.mu.Lock()
		ready = s.reserved >= int64(callers)*int64(minFrame)
		s.mu.Unlock()
	}
	close(release)
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := syncs.Load(); got > callers/2 {
		t.Errorf("%d syncs for %d callers at the same time", got, callers)
	}
	if got := len(drain(t, s)); got != callers+1 {
		t.Errorf("%d records, want %d", got, callers+1)
	}
}

func TestCommitTimeout_holds(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.CommitTimeout = time.Millisecond
	s, err := Open(t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	s.sync = func(*os.File) error { <-release; return nil }
	// The first is being written, the second waits for it.
	for range 2 {
		if err := s.Write(t.Context(), testRecords(1, 1)); !errors.Is(err, ErrTimeout) {
			t.Errorf("got %v, want ErrTimeout", err)
		}
	}
	close(release)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyFolder_isAnErrorOfOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	folder := s.Folder()
	if err := os.Remove(filepath.Join(folder, lockName)); err != nil {
		t.Fatal(err)
	}
	thaw := freeze(t, folder)
	defer thaw()
	if _, err := Open(dir, testConfig()); err == nil {
		t.Error("no error")
	} else if !contains(err.Error(), dir) {
		t.Errorf("%q does not name %s", err, dir)
	}
}

func contains(s, part string) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}
