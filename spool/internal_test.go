package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
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
	return openOn(t, osFS{}, dir, testConfig())
}

func openOn(t testing.TB, fsys filesystem, dir string, config Config) *Spool {
	t.Helper()
	s, err := openIn(fsys, dir, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// drain reads the records that are there, without gap records and without waiting.
func drain(t testing.TB, s *Spool) []stream.Message {
	t.Helper()
	var all []stream.Message
	for _, m := range drainAll(t, s) {
		if _, isGap := gapOf(t, m); !isGap {
			all = append(all, m)
		}
	}
	return all
}

func gapOf(t testing.TB, m stream.Message) (event.Gap, bool) {
	t.Helper()
	r, err := event.Decode(m.Payload)
	if err != nil {
		return event.Gap{}, false // fuzzed
	}
	return event.GapOf(r)
}

// gaps gives the gaps that gap records tell of, after it has let all that wait be written.
func gaps(t testing.TB, s *Spool) []event.Gap {
	t.Helper()
	drainAll(t, s) // finds damage
	await.Until(t, "the gap records to be written", func() bool { return s.Stats().GapsWaiting == 0 })
	var all []event.Gap
	known := make(map[string]bool) // who finds damage again after a restart tells of it again, as the same record
	for _, m := range drainAll(t, s) {
		if g, isGap := gapOf(t, m); isGap && !known[m.ID] {
			known[m.ID] = true
			all = append(all, g)
		}
	}
	return all
}

// drainAll reads what is there, without waiting.
func drainAll(t testing.TB, s *Spool) []stream.Message {
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
func oneSegment(t testing.TB, fsys filesystem, dir string, n int) (path string, data []byte) {
	t.Helper()
	s := openOn(t, fsys, dir, testConfig())
	for i := 1; i <= n; i++ {
		if err := s.Write(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(s.Folder(), segmentName(1))
	data, err := readFile(fsys, path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// put makes data the content of the file.
func put(t testing.TB, fsys filesystem, path string, data []byte) {
	t.Helper()
	if err := writeFile(fsys, path, data); err != nil {
		t.Fatal(err)
	}
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

// removeSegments makes the folder one whose records are all acknowledged and gone.
func removeSegments(t testing.TB, fsys filesystem, dir string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == segmentSuffix || entry.Name() == drainedName {
			if err := fsys.Remove(filepath.Join(dir, entry.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTruncatedAtEachByte_losesOnlyTheTornFrame(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	dir := disk.name + "/spool"
	path, data := oneSegment(t, disk, dir, 3)
	ends := frameEnds(t, data)
	for size := range len(data) + 1 {
		put(t, disk, path, data[:size])
		want := 0
		for want < len(ends) && ends[want] <= size {
			want++
		}
		s := openOn(t, disk, dir, testConfig())
		if got := drain(t, s); len(got) != want {
			t.Fatalf("cut at %d of %d: %d records, want %d", size, len(data), len(got), want)
		}
		if err := s.Write(t.Context(), testRecords(9, 9)); err != nil {
			t.Fatal(err)
		}
		all := drainAll(t, s)
		torn := 0
		if s.Stats().CutBytes > 0 { // a gap record says so, before the next record
			torn = 1
			if g, ok := gapOf(t, all[want]); !ok || g.Reason != event.GapTorn || g.Bytes != s.Stats().CutBytes || g.Count != 0 {
				t.Fatalf("cut at %d: %q, gap %+v, want one of %d bytes", size, all[want].Payload, g, s.Stats().CutBytes)
			}
		}
		if m := all[len(all)-1]; m.Seq != uint64(want+torn+1) || m.ID != "id-9" {
			t.Fatalf("cut at %d: the next record is %q with sequence %d, want %d", size, m.ID, m.Seq, want+torn+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := openOn(t, disk, dir, testConfig())
		if got := drain(t, again); len(got) != want+1 {
			t.Fatalf("cut at %d, opened again: %d records, want %d", size, len(got), want+1)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		removeSegments(t, disk, filepath.Dir(path))
	}
}

func TestEachByteFlipped_losesOnlyThatRecord(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	dir := disk.name + "/spool"
	path, data := oneSegment(t, disk, dir, 3)
	ends := frameEnds(t, data)
	for i := range data {
		if i >= 8 && i < 10 {
			continue // the version: of a newer format it is left alone
		}
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 0xff
		put(t, disk, path, damaged)
		hit := -1
		for n, end := range ends {
			if i < end && i >= headerSize {
				hit = n
				break
			}
		}
		s := openOn(t, disk, dir, testConfig())
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
		if last < 4 {
			t.Fatalf("byte %d flipped: the next record has the sequence %d", i, last)
		}
		if err := s.Close(); err != nil { // which writes what waits
			t.Fatal(err)
		}
		stats := s.Stats()
		torn := stats.CutBytes > 0 // a length at the end that is too large looks like a write that was cut off
		if torn && (hit != 2 || i-ends[1] > 3) {
			t.Fatalf("byte %d flipped: %d bytes cut off", i, stats.CutBytes)
		}
		if hit >= 0 && !torn && (stats.DamagedBytes == 0 || stats.Lost != 1 || stats.GapsWaiting != 0) {
			t.Fatalf("byte %d flipped: %+v, want one lost", i, stats)
		}
		s = openOn(t, disk, dir, testConfig())
		found := gaps(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		seq := uint64(hit + 1)
		if torn {
			if len(found) != 1 || found[0].Reason != event.GapTorn {
				t.Fatalf("byte %d of record %d flipped: gaps %+v", i, hit+1, found)
			}
		} else if hit < 0 && len(found) != 0 || hit >= 0 && (len(found) != 1 || found[0].Reason != event.GapDamaged || found[0].Count != 1 || found[0].From != seq || found[0].To != seq) {
			t.Fatalf("byte %d of record %d flipped: gaps %+v", i, hit+1, found)
		}
		removeSegments(t, disk, filepath.Dir(path))
		if err := disk.Remove(filepath.Join(filepath.Dir(path), markName)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedSequence_isNotUsedAgain(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	dir := disk.name + "/spool"
	path, data := oneSegment(t, disk, dir, 3)
	data[len(data)-2] ^= 0xff // in the payload of the last record
	put(t, disk, path, data)
	s := openOn(t, disk, dir, testConfig())
	if err := s.Write(t.Context(), testRecords(4, 4)); err != nil {
		t.Fatal(err)
	}
	all := drain(t, s)
	if len(all) != 3 || all[2].Seq != 4 || len(gaps(t, s)) != 1 {
		t.Fatalf("got %d records, the last with sequence %d; want 3 and 4", len(all), all[len(all)-1].Seq)
	}
	// The lost one does not hold up the acknowledgement.
	if err := s.Acknowledge(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if stats := s.Stats(); stats.Acknowledged != 3 || stats.Pending != 2 || stats.Lost != 1 {
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
	if found := gaps(t, s); len(found) != 1 || found[0].From != segments[1].first || found[0].To != segments[2].first-1 || found[0].Count != uint64(lost) {
		t.Errorf("gaps %+v", found)
	}
	again := drain(t, s)
	if len(again) != len(got) || s.Stats().Lost != uint64(lost) {
		t.Errorf("read again: %d records and %d lost", len(again), s.Stats().Lost)
	}
}

func TestSyncError_once_goesToANewSegment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := &faultFS{filesystem: osFS{}}
	s := openOn(t, disk, dir, testConfig())
	if err := s.Write(t.Context(), testRecords(1, 3)); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	failed := make(map[string]bool)
	disk.fail(func(op, path string) error {
		if op != "sync" {
			return nil
		}
		if failed[path] {
			t.Errorf("%s is synced again after its sync has failed", path)
		}
		if calls.Add(1) == 1 {
			failed[path] = true
			return syscall.EIO
		}
		return nil
	})
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
	for _, policy := range []Policy{Drop, Reject} {
		disk := &faultFS{filesystem: osFS{}}
		config := testConfig()
		config.WhenFull = policy
		s := openOn(t, disk, t.TempDir(), config)
		if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
			t.Fatal(err)
		}
		disk.fail(only("sync", syscall.EIO))
		for i := range 3 {
			var known *DiskError
			if err := s.Write(t.Context(), testRecords(10+i, 10+i)); !errors.As(err, &known) || known.Problem != ProblemFailing || !errors.Is(err, syscall.EIO) {
				t.Fatalf("got %v, want a failing disk", err)
			}
		}
		if stats := s.Stats(); stats.Failed != 3 || stats.Written != 1 || stats.Pending != 1 || stats.Problem != ProblemFailing {
			t.Errorf("%+v", stats)
		}
		disk.fail(nil)
		if err := s.Write(t.Context(), testRecords(2, 2)); err != nil {
			t.Fatal(err)
		}
		got := drain(t, s)
		if len(got) != 2 || got[1].ID != "id-2" || s.Stats().Problem != ProblemNone {
			t.Errorf("got %v", got)
		}
		lost := uint64(0)
		for _, g := range gaps(t, s) {
			if g.Reason != event.GapDisk {
				t.Errorf("gap %+v", g)
			}
			lost += g.Count
		}
		if want := map[Policy]uint64{Drop: 3, Reject: 0}[policy]; lost != want || s.Stats().Lost != want {
			t.Errorf("policy %d: gap records tell of %d lost, counted are %d, want %d", policy, lost, s.Stats().Lost, want)
		}
	}
}

// only makes calls of one kind fail.
func only(op string, err error) func(string, string) error {
	return func(o, _ string) error {
		if o == op {
			return err
		}
		return nil
	}
}

func TestDiskFull_acknowledgedSegmentsMakeRoom(t *testing.T) {
	t.Parallel()
	config := testConfig()
	config.SegmentBytes, config.BlockTimeout, config.WhenFull = minSegment, -1, Reject
	disk := &faultFS{filesystem: osFS{}}
	s := openOn(t, disk, t.TempDir(), config)
	for i := 1; i <= 60; i++ {
		if err := s.Write(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stats().Segments
	disk.fail(func(op, path string) error {
		if op == "write" && filepath.Ext(path) == segmentSuffix && s.Stats().Segments >= before {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.Write(t.Context(), testRecords(61, 61)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("nothing is acknowledged: got %v, want ENOSPC", err)
	}
	if err := s.Acknowledge(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "room", func() bool { return s.Write(t.Context(), testRecords(61, 61)) == nil }) // run removes what is acknowledged
	if got := drain(t, s); len(got) != 1 || got[0].Seq != 61 {
		t.Errorf("got %v, want the one that is not acknowledged", got)
	}
}

func TestGroupCommit_sharesSyncs(t *testing.T) {
	t.Parallel()
	disk := &faultFS{filesystem: osFS{}}
	s := openOn(t, disk, t.TempDir(), testConfig())
	var syncs atomic.Int32
	release := make(chan struct{})
	disk.fail(func(op, path string) error {
		if op == "sync" && filepath.Ext(path) == segmentSuffix && syncs.Add(1) == 3 { // 1 and 2: the new segment and the first record
			<-release
		}
		return nil
	})
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
	config.CommitTimeout = 2 * time.Second
	disk := &faultFS{filesystem: osFS{}}
	dir := t.TempDir()
	s := openOn(t, disk, dir, config)
	release, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.fail(func(op, _ string) error {
		if op == "sync" {
			once.Do(func() { close(entered) })
			<-release
		}
		return nil
	})
	// The first is being written, the second waits for it.
	first := make(chan error, 1)
	go func() { first <- s.Write(context.Background(), testRecords(0, 0)) }()
	<-entered
	if err := s.Write(t.Context(), testRecords(1, 1)); !errors.Is(err, ErrTimeout) || errors.Is(err, errMayBeWritten) {
		t.Errorf("the second: got %v, want ErrTimeout", err)
	}
	if err := <-first; !errors.Is(err, ErrTimeout) || !errors.Is(err, errMayBeWritten) {
		t.Errorf("the first: got %v, want ErrTimeout", err)
	}
	close(release)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = openTest(t, dir)
	if got := drain(t, s); len(got) != 1 || got[0].ID != "id-0" {
		t.Errorf("got %v, want the one that was being written", got)
	}
	if found := gaps(t, s); len(found) != 1 || found[0].Reason != event.GapTimeout || found[0].Count != 1 {
		t.Errorf("gaps %+v, want the one that was not", found)
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
