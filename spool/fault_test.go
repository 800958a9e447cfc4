package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
)

// lostIn sums up what gap records tell, by reason.
func lostIn(t testing.TB, s *Spool) map[string]uint64 {
	t.Helper()
	sum := make(map[string]uint64)
	for _, g := range gaps(t, s) {
		if g.Producer != s.Producer() {
			t.Errorf("gap of the producer %q, want %q", g.Producer, s.Producer())
		}
		if g.First.IsZero() || g.Last.Before(g.First) {
			t.Errorf("gap from %v to %v", g.First, g.Last)
		}
		sum[g.Reason] += g.Count
	}
	return sum
}

func padded(n, size int) []event.Record {
	list := testRecords(n, n)
	list[0].Reason = strings.Repeat("x", size)
	return list
}

// TestFull_eachLossIsInAGapRecord: what is dropped while the spool is full is told by gap records, few of
// them, which fit in although nothing else does; and nothing that was taken is dropped.
func TestFull_eachLossIsInAGapRecord(t *testing.T) {
	t.Parallel()
	for policy, want := range map[Policy]bool{Drop: true, Reject: false} {
		disk := newMemFS()
		config := testConfig()
		config.SegmentBytes, config.MaxBytes, config.BlockTimeout, config.WhenFull, config.SoftBytes = minSegment, 64<<10, -1, policy, -1
		dir := disk.name + "/spool"
		s := openOn(t, disk, dir, config)
		taken, refused := 0, uint64(0)
		for i := 1; refused < 500; i++ {
			err := s.Write(t.Context(), padded(i, 500))
			switch {
			case err == nil:
				taken++
			case errors.Is(err, ErrFull):
				refused++
			default:
				t.Fatal(err)
			}
		}
		if got := len(drain(t, s)); got != taken {
			t.Errorf("%d records, want the %d that were taken", got, taken)
		}
		if stats := s.Stats(); stats.Full != refused || stats.Bytes > config.MaxBytes {
			t.Errorf("%+v", stats)
		}
		// The process ends while it is full: the next one tells what was lost.
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openOn(t, disk, dir, config)
		if err := s.Acknowledge(t.Context(), uint64(taken)); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), padded(9999, 500)); err != nil {
			t.Fatal(err)
		}
		if got := lostIn(t, s)[event.GapFull]; got != refused && want || got != 0 && !want {
			t.Errorf("policy %d: gap records tell of %d lost, refused were %d", policy, got, refused)
		}
		if n := s.Stats().Gaps; n > 5 {
			t.Errorf("%d gap records for one outage", n)
		}
	}
}

func TestSoftLimit_keepsWhoWhatAndWhen(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	config := testConfig()
	config.SegmentBytes, config.MaxBytes, config.SoftBytes, config.BlockTimeout = minSegment, 64<<10, 20<<10, -1
	s := openOn(t, disk, disk.name+"/spool", config)
	record := func(i int) event.Record {
		r := testRecords(i, i)[0]
		r.UserID = "7"
		r.Changes = []event.Change{{Field: "name", Label: "Name", Type: event.TypeString, Old: []byte(`"` + strings.Repeat("a", 400) + `"`), New: []byte(`"b"`)}}
		r.ChangedFields = []string{"name"}
		r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: "Name", OldValue: r.Changes[0].Old, NewValue: r.Changes[0].New}})
		hash, err := event.ContentHash(r)
		if err != nil {
			t.Fatal(err)
		}
		r.RecordHash = hash
		return r
	}
	for i := 1; i <= 30; i++ {
		if err := s.Write(t.Context(), []event.Record{record(i)}); err != nil {
			t.Fatal(err)
		}
	}
	short := uint64(0)
	for _, m := range drain(t, s) {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if hash, err := event.ContentHash(r); err != nil || hash != r.RecordHash {
			t.Fatalf("record %s: hash %s, want %s, %v", r.LogID, r.RecordHash, hash, err)
		}
		if len(r.Changes) != 1 || r.Changes[0].Field != "name" || r.UserID != "7" || len(r.ChangedFields) != 1 {
			t.Fatalf("%+v", r)
		}
		if !r.IsTruncated {
			continue
		}
		short++
		if r.Changes[0].Old != nil || r.Changes[0].New != nil || !r.Changes[0].Truncated || r.UntruncatedSize < 800 || strings.Contains(string(m.Payload), "aaaa") {
			t.Fatalf("%s", m.Payload)
		}
	}
	if short == 0 || short == 30 || s.Stats().Degraded != short {
		t.Errorf("%d of 30 records are without values, counted are %d", short, s.Stats().Degraded)
	}
	// What is confirmed does not count: it can go.
	last, _ := s.Last(t.Context())
	if err := s.Acknowledge(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []event.Record{record(31)}); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s); len(got) != 1 || strings.Contains(string(got[0].Payload), "is_truncated") {
		t.Errorf("%v", got)
	}
}

// TestDiskFull_acksDeletesAndGapsStillWork: fault row 22 on a file system of 256 KiB. fault_linux_test.go has
// it on a real one.
func TestDiskFull_acksDeletesAndGapsStillWork(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	disk.capacity = 256 << 10
	fullDisk(t, disk, disk.name+"/spool")
}

func fullDisk(t testing.TB, fsys filesystem, dir string) {
	t.Helper()
	config := testConfig()
	config.SegmentBytes, config.MaxBytes, config.BlockTimeout = 16<<10, 2<<20, -1
	s := openOn(t, fsys, dir, config)
	taken, refused := 0, uint64(0)
	for i := 1; refused < 20; i++ {
		err := s.Write(t.Context(), padded(i, 2000))
		var disk *DiskError
		switch {
		case err == nil:
			taken++
		case errors.As(err, &disk) && disk.Problem == ProblemFull:
			refused++
		default:
			t.Fatalf("record %d: %v", i, err)
		}
	}
	if stats := s.Stats(); stats.Problem != ProblemFull || taken < 20 {
		t.Errorf("%d taken, %+v", taken, stats)
	}
	if got := len(drain(t, s)); got != taken {
		t.Errorf("%d records, want the %d that were taken", got, taken)
	}
	// The gap record is there while the disk is full.
	if got := lostIn(t, s)[event.GapDisk]; got == 0 {
		t.Errorf("gap records tell of %d lost on a full disk: %+v", got, s.Stats())
	}
	// So are the acknowledgement and the deletes that it makes possible; then all is well again.
	last, _ := s.Last(t.Context())
	if err := s.Acknowledge(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "a write that succeeds", func() bool { return s.Write(t.Context(), testRecords(9999, 9999)) == nil })
	refused = s.Stats().Full + s.Stats().Failed
	if got := lostIn(t, s)[event.GapDisk]; s.Stats().Lost != refused {
		t.Errorf("%d lost are counted, refused were %d, gap records since the acknowledgement tell of %d", s.Stats().Lost, refused, got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openOn(t, fsys, dir, config)
	if again.Acknowledged() < last {
		t.Errorf("acknowledged %d after a restart, want at least %d", again.Acknowledged(), last)
	}
}

// volume is a file system that says what a test wants about its volume, and refuses writes when read-only.
type volume struct {
	filesystem
	readOnly atomic.Bool
}

func (v *volume) Space(path string) (space, error) {
	left, err := v.filesystem.Space(path)
	left.readOnly = v.readOnly.Load()
	return left, err
}

// TestReadOnly_isSeenWithoutAWrite: fault row 23.
func TestReadOnly_isSeenWithoutAWrite(t *testing.T) {
	t.Parallel()
	v := &volume{filesystem: newMemFS()}
	disk := &faultFS{filesystem: v}
	disk.fail(func(op, _ string) error {
		if v.readOnly.Load() && (op == "write" || op == "create" || op == "remove" || op == "truncate" || op == "mkdir") {
			return syscall.EROFS
		}
		return nil
	})
	config := testConfig()
	config.SegmentBytes = minSegment
	s := openOn(t, disk, v.filesystem.(*memFS).name+"/spool", config)
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Fatal(err)
	}
	v.readOnly.Store(true)
	await.Until(t, "the disk that is read only to be noticed", func() bool { return s.Stats().Problem == ProblemReadOnly }) // looked for every second
	var known *DiskError
	if err := s.Write(t.Context(), testRecords(2, 2)); !errors.As(err, &known) || known.Problem != ProblemReadOnly || !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v, want a read-only disk", err)
	}
	v.readOnly.Store(false)
	await.Until(t, "the disk that is well again to be noticed", func() bool { return s.Stats().Problem == ProblemNone })
	if err := s.Write(t.Context(), testRecords(3, 3)); err != nil {
		t.Fatal(err)
	}
	if got := lostIn(t, s)[event.GapDisk]; got != 1 {
		t.Errorf("gap records tell of %d lost, want 1", got)
	}
}

// TestFolderRemoved_isMadeAgain: fault row 27.
func TestFolderRemoved_isMadeAgain(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(t *testing.T) (fsys filesystem, dir string, remove func(path string)){
		"in memory": func(t *testing.T) (filesystem, string, func(string)) {
			disk := newMemFS()
			return disk, disk.name + "/spool", func(path string) { disk.removeAll(t, path) }
		},
		"on the disk": func(t *testing.T) (filesystem, string, func(string)) {
			return osFS{}, filepath.Join(t.TempDir(), "spool"), func(path string) {
				if err := os.RemoveAll(path); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fsys, dir, remove := setup(t)
			config := testConfig()
			config.SegmentBytes = minSegment
			s := openOn(t, fsys, dir, config)
			for i := 1; i <= 20; i++ {
				if err := s.Write(t.Context(), padded(i, 500)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Acknowledge(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			kept := s.Stats() // read before it is gone
			s.mu.Lock()
			first := s.segments[len(s.segments)-1].first // of the one that can still be read
			s.mu.Unlock()
			remove(dir) // with the parent
			// Nothing is promised into the void: the next record is where it can be found.
			if err := s.Write(t.Context(), testRecords(21, 21)); err != nil {
				t.Fatal(err)
			}
			lost := first - 4
			if stats := s.Stats(); stats.Producer != kept.Producer || stats.Lost != lost || stats.Acknowledged != first-1 {
				t.Errorf("%+v, want %d lost", stats, lost)
			}
			got := drain(t, s)
			if want := 21 - int(first) + 1; len(got) != want || got[0].Seq != first || got[len(got)-1].ID != "id-21" {
				t.Errorf("%d records from %d on, want %d from %d on", len(got), got[0].Seq, want, first)
			}
			found := gaps(t, s)
			if len(found) != 1 || found[0].Reason != event.GapRemoved || found[0].From != 4 || found[0].To != first-1 || found[0].Count != lost {
				t.Errorf("gaps %+v", found)
			}
			// Without a write it is seen as well.
			remove(s.Folder())
			await.Until(t, "the folder to be made again", func() bool { return !missing(fsys, filepath.Join(s.Folder(), identityName)) })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again := openOn(t, fsys, dir, config)
			if again.Producer() != kept.Producer {
				t.Errorf("producer %s, want %s", again.Producer(), kept.Producer)
			}
			if got, before := again.Stats(), s.Stats(); got.Written != before.Written || got.Acknowledged != before.Acknowledged {
				t.Errorf("%+v, before %+v", got, before)
			}
		})
	}
}

func TestFolderMovedAway_isNotWrittenUntilItIsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(t.TempDir(), filepath.Base(s.Folder()))
	if err := os.Rename(s.Folder(), away); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the removed folder to be noticed", func() bool { return s.Stats().Problem == ProblemRemoved })
	var known *DiskError
	if err := s.Write(t.Context(), testRecords(2, 2)); !errors.As(err, &known) || known.Problem != ProblemRemoved || !errors.Is(err, errMoved) {
		t.Errorf("got %v, want that the folder was moved", err)
	}
	if err := os.Rename(away, s.Folder()); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "a write that succeeds", func() bool { return s.Write(t.Context(), testRecords(3, 3)) == nil })
	if got := drain(t, s); len(got) != 2 || got[1].ID != "id-3" {
		t.Errorf("got %v", got)
	}
}

func TestLockFileRemoved_isMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := os.Remove(filepath.Join(s.Folder(), lockName)); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the lock file to be made again", func() bool { return !missing(osFS{}, filepath.Join(s.Folder(), lockName)) })
	await.Until(t, "the lock to be held", func() bool { // it is locked a moment after it was made
		f, err := claim(osFS{}, s.Folder(), "other")
		if f != nil {
			f.release()
		}
		return err == nil && f == nil
	})
	if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
		t.Error(err)
	}
}

func TestIndexed_segmentsGoBeforeTheRetention(t *testing.T) {
	t.Parallel()
	index := &index{}
	disk := newMemFS()
	config := testConfig()
	config.SegmentBytes, config.Retention, config.Index, config.IndexInterval = minSegment, 24*time.Hour, index, time.Millisecond
	s := openOn(t, disk, disk.name+"/spool", config)
	for i := 1; i <= 100; i++ {
		if err := s.Write(t.Context(), padded(i, 300)); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stats().Segments
	index.have(100) // but the stream has confirmed nothing
	s.MarkIndexed(100)
	if got := s.Stats(); got.Segments != before || got.Indexed != 0 {
		t.Errorf("%+v, want all segments: nothing is confirmed", got)
	}
	index.have(0)
	if err := s.Acknowledge(t.Context(), 90); err != nil {
		t.Fatal(err)
	}
	asked := index.asked()
	await.Until(t, "the index to be asked", func() bool { return index.asked() > asked+2 })
	if got := s.Stats().Segments; got != before {
		t.Errorf("%d segments, want all %d: confirmed, but neither old nor in the store", got, before)
	}
	index.have(50)
	await.Until(t, "segments to be removed", func() bool { return s.Stats().Segments < before })
	s.mu.Lock()
	first := s.segments[0].first
	second := s.segments[1].first
	s.mu.Unlock()
	if first > 51 || second <= 51 || s.Stats().Indexed != 50 {
		t.Errorf("segments from %d and %d on, with everything up to 50 in the store", first, second)
	}
	index.have(1000)
	await.Until(t, "all that is confirmed to be known as indexed", func() bool { return s.Stats().Indexed == 90 }) // never beyond what is confirmed
	if got := drain(t, s); len(got) != 10 || got[0].Seq != 91 {
		t.Errorf("%d records from %d on", len(got), got[0].Seq)
	}
}

// index is a store that has everything up to a sequence.
type index struct {
	mu   sync.Mutex
	upTo uint64
	n    int
}

func (i *index) have(upTo uint64) { i.mu.Lock(); defer i.mu.Unlock(); i.upTo = upTo }
func (i *index) asked() int       { i.mu.Lock(); defer i.mu.Unlock(); return i.n }

func (i *index) IndexedUpTo(_ context.Context, _ string, after, upTo uint64) (uint64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	return max(after, min(upTo, i.upTo)), nil
}

func TestMaxFolders_refusesANewName(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	config := testConfig()
	config.MaxFolders = 3
	dir := disk.name + "/spool"
	if err := disk.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	var held []*folder
	for range 3 { // of processes that run
		f, err := create(disk, dir, "other", time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	if _, err := openIn(disk, dir, config); !errors.Is(err, ErrTooMany) || !strings.Contains(err.Error(), "MaxFolders is 3") {
		t.Errorf("got %v, want ErrTooMany that names the limit", err)
	}
	// One that was left is taken over: no new name.
	held[1].fresh = false
	if err := writeFile(disk, filepath.Join(held[1].dir, markName), nil); err != nil {
		t.Fatal(err)
	}
	m, _, _, err := openMark(disk, held[1].dir)
	if err != nil || m.save(0) != nil {
		t.Fatal(err)
	}
	held[1].release()
	s := openOn(t, disk, dir, config)
	if s.Folder() != held[1].dir {
		t.Errorf("opened %s, want %s", s.Folder(), held[1].dir)
	}
}

// TestPositionLost_isANewProducer: with neither segments nor mark, a name that was used would begin at 1 again,
// and the stream would drop what it takes for old.
func TestPositionLost_isANewProducer(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	dir := disk.name + "/spool"
	s := openOn(t, disk, dir, testConfig())
	if err := s.Write(t.Context(), testRecords(1, 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	removeSegments(t, disk, s.Folder())
	if err := disk.Remove(filepath.Join(s.Folder(), markName)); err != nil {
		t.Fatal(err)
	}
	again := openOn(t, disk, dir, testConfig())
	if again.Producer() == s.Producer() || !missing(disk, s.Folder()) {
		t.Errorf("producer %s again", again.Producer())
	}
}

func TestQuarantine_isInAGapRecord(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	s := openOn(t, disk, disk.name+"/spool", testConfig())
	if err := s.Write(t.Context(), testRecords(1, 3)); err != nil {
		t.Fatal(err)
	}
	m := drain(t, s)[1]
	for range 2 { // a relay that loses its connection comes back to it
		if err := s.Quarantine(t.Context(), m, errors.New("too large")); err != nil {
			t.Fatal(err)
		}
	}
	found := gaps(t, s)
	if len(found) != 1 || found[0].Reason != event.GapQuarantined || found[0].From != 2 || found[0].To != 2 || found[0].Count != 1 || !strings.Contains(found[0].Detail, "id-2: too large") {
		t.Errorf("gaps %+v", found)
	}
	if stats := s.Stats(); stats.Quarantined != 1 || stats.Lost != 0 {
		t.Errorf("%+v, want one put aside, which is not lost", stats)
	}
}

// TestGapRecord_isTheSameAfterACrash ends the process between the gap record and the moment at which the
// gap is forgotten: it is written again, with the same id and content.
func TestGapRecord_isTheSameAfterACrash(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	fault := &faultFS{filesystem: disk}
	dir := disk.name + "/spool"
	s := openOn(t, fault, dir, testConfig())
	written := make(chan struct{})
	var once sync.Once
	var after atomic.Bool
	fault.fail(func(op, path string) error {
		if op == "sync" && strings.HasSuffix(path, segmentSuffix) {
			after.Store(true)
		} else if op == "write" && strings.HasSuffix(path, lossesName) && after.Load() {
			once.Do(func() { close(written) })
			return errDied
		}
		return nil
	})
	bad := testRecords(1, 1)
	bad[0].LogID = ""
	if err := s.Write(t.Context(), bad); err == nil {
		t.Fatal("no error")
	}
	<-written
	var first []string
	for _, m := range drainAll(t, s) {
		first = append(first, m.ID)
	}
	disk.mu.Lock()
	disk.root.names["spool"].names[filepath.Base(s.Folder())].names[lockName].locked = false // the process is dead
	disk.mu.Unlock()
	unreserve(dir)
	again := openOn(t, disk, dir, testConfig())
	ids := make(map[string]string)
	for _, m := range drainAll(t, again) {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if hash, ok := ids[m.ID]; ok && hash != r.RecordHash {
			t.Errorf("record %s has another content", m.ID)
		}
		ids[m.ID] = r.RecordHash
	}
	if len(first) != 1 || len(ids) != 1 || ids[first[0]] == "" {
		t.Errorf("first %v, then %v: want one id", first, ids)
	}
}

func TestReader_seesWhatTheSpoolHas(t *testing.T) {
	t.Parallel()
	disk := newMemFS()
	config := testConfig()
	config.SegmentBytes = minSegment
	s := openOn(t, disk, disk.name+"/spool", config)
	r, err := openReader(disk, s.Folder())
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	read := func() {
		t.Helper()
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			next++
			if e.Seq != uint64(next) || e.ID != fmt.Sprintf("id-%d", next) || e.Producer != s.Producer() || !strings.HasPrefix(string(e.Payload), "{") {
				t.Fatalf("entry %d: %+v", next, e)
			}
		}
	}
	for i := 1; i <= 60; i++ {
		if err := s.Write(t.Context(), padded(i, 300)); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			read()
		}
	}
	read()
	if next != 60 || r.Damaged() != 0 {
		t.Errorf("%d entries, %d bytes damaged", next, r.Damaged())
	}
	if err := r.Seek(10); err != nil {
		t.Fatal(err)
	}
	if e, err := r.Next(); err != nil || e.Seq != 11 {
		t.Errorf("behind 10: %+v, %v", e, err)
	}
}

// TestModes: threat row 24. Whatever the spool makes is for its own user only.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	s := openTest(t, dir)
	if err := s.Write(t.Context(), testRecords(1, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), drain(t, s)[0], errors.New("too large")); err != nil {
		t.Fatal(err)
	}
	seen := 0
	check := func() {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			seen++
			want := fs.FileMode(0o600)
			if info.IsDir() {
				want = 0o700
			}
			if info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, want %v", path, info.Mode().Perm(), want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check()
	if seen < 20 {
		t.Errorf("only %d files seen", seen)
	}
}
