package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
)

// TestBestEffort_waitsForNothing: while the disk hangs, records are taken into memory up to its bound; what is
// beyond is counted and in a gap record. When the disk goes on, all that was taken is there, in order with
// what Write has put behind it, and the account is balanced at each moment.
func TestBestEffort_waitsForNothing(t *testing.T) {
	t.Parallel()
	for policy, name := range map[Policy]string{Drop: "drop", Reject: "reject"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := newMemFS()
			disk := &faultFS{filesystem: memory}
			config := testConfig()
			config.WhenFull, config.BestEffortBytes = policy, 100_000
			s := openOn(t, disk, memory.name+"/spool", config)
			_, release := hang(t, disk)
			taken, refused := 0, uint64(0)
			for i := 1; refused < 30; i++ {
				err := s.WriteBestEffort(t.Context(), padded(i, 500))
				switch {
				case err == nil:
					taken++
				case errors.Is(err, ErrFull):
					refused++
				default:
					t.Fatal(err)
				}
				if q := s.Accounting(); q.Written+q.Refused != uint64(i) || q.Pending != uint64(taken) {
					t.Fatalf("after %d records, %d taken: %+v", i, taken, q)
				}
			}
			if stats := s.Stats(); stats.Unsynced != uint64(taken) || stats.Full != refused || taken < 50 {
				t.Errorf("%d taken, %d refused: %+v", taken, refused, stats)
			}
			behind := make(chan error, 1)
			go func() { behind <- s.Write(context.Background(), testRecords(1_000, 1_000)) }()
			release()
			if err := <-behind; err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if stats := s.Stats(); stats.Unsynced != 0 {
				t.Errorf("%+v", stats)
			}
			got := drain(t, s)
			if len(got) != taken+1 || got[taken].ID != "id-1000" {
				t.Fatalf("%d records, want %d", len(got), taken+1)
			}
			for i, m := range got[:taken] {
				if m.ID != fmt.Sprintf("id-%d", i+1) {
					t.Errorf("record %d is %s", i+1, m.ID)
				}
			}
			if lost := lostIn(t, s)[event.GapFull]; lost != refused {
				t.Errorf("gap records tell of %d lost, refused were %d", lost, refused)
			}
		})
	}
}

// hang makes each sync of the disk wait until release is called, at the latest at the end of the test, and says
// when the first waits.
func hang(t testing.TB, disk *faultFS) (entered <-chan struct{}, release func()) {
	t.Helper()
	wait, waits := make(chan struct{}), make(chan struct{})
	var once, first sync.Once
	disk.fail(func(op, _ string) error {
		if op == "sync" {
			first.Do(func() { close(waits) })
			<-wait
		}
		return nil
	})
	release = func() { once.Do(func() { close(wait) }) }
	t.Cleanup(release)
	return waits, release
}

// TestBestEffort_diskFails: the caller has gone long ago, so the counters and a gap record tell of it.
func TestBestEffort_diskFails(t *testing.T) {
	t.Parallel()
	memory := newMemFS()
	disk := &faultFS{filesystem: memory}
	config := testConfig()
	config.WhenFull = Reject
	s := openOn(t, disk, memory.name+"/spool", config)
	disk.fail(only("sync", errors.New("a broken disk")))
	if err := s.WriteBestEffort(t.Context(), testRecords(1, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := s.Accounting()
	if stats := s.Stats(); stats.Failed != 3 || stats.Unsynced != 0 || q.Refused != 3 || q.Pending != 0 {
		t.Errorf("%+v, %+v", stats, q)
	}
	disk.fail(nil)
	if err := s.Write(t.Context(), testRecords(4, 4)); err != nil {
		t.Fatal(err)
	}
	if lost := lostIn(t, s)[event.GapDisk]; lost != 3 {
		t.Errorf("gap records tell of %d lost, want 3", lost)
	}
}

// TestBestEffort_closeWritesAll: Close waits for what is in memory, and nothing is taken behind it.
func TestBestEffort_closeWritesAll(t *testing.T) {
	t.Parallel()
	memory := newMemFS()
	disk := &faultFS{filesystem: memory}
	s := openOn(t, disk, memory.name+"/spool", testConfig())
	entered, release := hang(t, disk)
	for i := 1; i <= 50; i++ {
		if err := s.WriteBestEffort(t.Context(), testRecords(i, i)); err != nil {
			t.Fatal(err)
		}
		<-entered // with the first alone
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.Write(context.Background(), testRecords(51, 51)) }()
	await.Until(t, "the call to be queued", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.queue) > 0 && s.queue[len(s.queue)-1].done != nil
	})
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	<-s.quit
	release()
	if err := errors.Join(<-closed, <-waiting); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteBestEffort(t.Context(), testRecords(52, 52)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	s = openOn(t, memory, memory.name+"/spool", testConfig())
	if got := drain(t, s); len(got) != 51 || got[50].ID != "id-51" {
		t.Errorf("%d records, want 51", len(got))
	}
}

// TestWriteEncoded_isWrite: what is encoded already gives the same payloads, and nothing that must not be
// there, whatever the record has.
func TestWriteEncoded_isWrite(t *testing.T) {
	t.Parallel()
	list := testRecords(1, 5)
	list[1].ProducerID, list[1].Seq = "of another life", 77
	list[2].RecordHash = "abc"
	var encoded [][]byte
	for i := range list[:4] {
		text, err := event.Encode(list[i])
		if err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, text)
	}
	encoded[3] = nil // and of the fifth nothing is said
	disk := newMemFS()
	want := openOn(t, disk, disk.name+"/want", testConfig())
	got := openOn(t, disk, disk.name+"/got", testConfig())
	got.folder.producer = want.folder.producer
	if err := want.Write(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(encoded[0])
	if err := got.WriteEncoded(t.Context(), list, encoded); err != nil {
		t.Fatal(err)
	}
	if string(before) != string(encoded[0]) {
		t.Error("the encoding was changed")
	}
	a, b := drain(t, want), drain(t, got)
	if len(a) != 5 || len(b) != 5 {
		t.Fatalf("%d and %d records", len(a), len(b))
	}
	for i := range a {
		if string(a[i].Payload) != string(b[i].Payload) || a[i].ID != b[i].ID {
			t.Errorf("Write gives %s\nWriteEncoded %s", a[i].Payload, b[i].Payload)
		}
	}
}
