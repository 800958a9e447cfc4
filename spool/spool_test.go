package spool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/spool"
)

var (
	_ audit.Sink           = (*spool.Spool)(nil)
	_ audit.BestEffortSink = (*spool.Spool)(nil)
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_CHILD"); dir != "" {
		child(dir)
		return
	}
	if dir := os.Getenv("SPOOL_TEST_LIFE"); dir != "" {
		spool.Life(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// at is a moment at which nothing happened.
var at = time.Date(2026, 11, 24, 12, 0, 0, 123456000, time.UTC)

func record(id string) event.Record {
	return event.Record{LogID: id, Timestamp: at, Action: event.ActionChange, ObjectType: "customer", ObjectID: "42", Extra: map[string]any{"n": id}}
}

func records(from, to int) []event.Record {
	var all []event.Record
	for i := from; i <= to; i++ {
		all = append(all, record(fmt.Sprintf("id-%d", i)))
	}
	return all
}

func open(t *testing.T, dir string, config spool.Config) *spool.Spool {
	t.Helper()
	if config.Logger == nil {
		config.Logger = quiet
	}
	s, err := spool.Open(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func write(t *testing.T, s *spool.Spool, records ...event.Record) {
	t.Helper()
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func closeSpool(t *testing.T, s *spool.Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// readAll reads from after+1 to the last record, and checks that sequences have no gap.
func readAll(t *testing.T, s *spool.Spool, after uint64) []event.Record {
	t.Helper()
	last, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []event.Record
	for after < last {
		messages, err := s.Read(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Seq != after+1 {
				t.Fatalf("sequence %d after %d", m.Seq, after)
			}
			after = m.Seq
			r, err := event.Decode(m.Payload)
			if err != nil {
				t.Fatalf("record %d: %v", m.Seq, err)
			}
			if r.LogID != m.ID || r.Seq != m.Seq || s.Producer() != "audit/"+r.ProducerID && s.Producer() != r.ProducerID || m.Properties["schema_version"] != "1" {
				t.Fatalf("message %q %d %v has the record %q %d of %q", m.ID, m.Seq, m.Properties, r.LogID, r.Seq, r.ProducerID)
			}
			all = append(all, r)
		}
	}
	return all
}

func wantIDs(t *testing.T, got []event.Record, from, to int) {
	t.Helper()
	var ids []string
	for _, r := range got {
		ids = append(ids, strings.TrimPrefix(r.LogID, "id-"))
	}
	var want []string
	for i := from; i <= to; i++ {
		want = append(want, fmt.Sprint(i))
	}
	if g, w := strings.Join(ids, " "), strings.Join(want, " "); g != w {
		t.Fatalf("got the records %s\nwant %s", g, w)
	}
}

func TestWrite_isReadBackInOrder(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{SegmentBytes: 8 << 10})
	write(t, s, records(1, 10)...)
	write(t, s)
	for i := 11; i <= 200; i++ {
		write(t, s, record(fmt.Sprintf("id-%d", i)))
	}
	wantIDs(t, readAll(t, s, 0), 1, 200)
	wantIDs(t, readAll(t, s, 150), 151, 200)
	wantIDs(t, readAll(t, s, 3), 4, 200)
	if stats := s.Stats(); stats.Written != 200 || stats.Pending != 200 || stats.Segments < 3 {
		t.Errorf("%+v", stats)
	}
}

func TestWrite_encodesAsTheEventPackage(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	r := record("id-1")
	r.RecordHash, r.ProducerID, r.Seq = "abc", "of another life", 77
	write(t, s, r)
	messages, err := s.Read(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.ProducerID, r.Seq = s.Producer(), 1
	want, err := event.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(messages[0].Payload); got != string(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestOpen_adoptsWhatWasLeft(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "spool")
	first := open(t, dir, spool.Config{Service: "shop"})
	if !strings.HasPrefix(first.Producer(), "shop/") {
		t.Errorf("producer %q, want shop/…", first.Producer())
	}
	write(t, first, records(1, 5)...)
	if err := first.Acknowledge(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, first)
	second := open(t, dir, spool.Config{Service: "other"})
	if second.Producer() != first.Producer() || second.Folder() != first.Folder() {
		t.Errorf("producer %q in %s, want %q in %s", second.Producer(), second.Folder(), first.Producer(), first.Folder())
	}
	write(t, second, records(6, 7)...)
	if got := second.Acknowledged(); got != 2 {
		t.Errorf("acknowledged %d, want 2", got)
	}
	wantIDs(t, readAll(t, second, 2), 3, 7)
}

func TestOpen_twiceNamesTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Config{})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{dir, dir + "/.", link} {
		_, err := spool.Open(again, spool.Config{})
		if !errors.Is(err, spool.ErrInUse) || !strings.Contains(err.Error(), again) {
			t.Errorf("%s: got %v, want spool.ErrInUse that names it", again, err)
		}
	}
	closeSpool(t, s)
	closeSpool(t, open(t, dir, spool.Config{}))
}

func TestOpen_folderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/audit-spool"} {
		if _, err := spool.Open(dir, spool.Config{}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want an error that names it", dir, err)
		}
	}
}

func TestOpen_wrongConfig(t *testing.T) {
	t.Parallel()
	_, err := spool.Open(t.TempDir(), spool.Config{Service: `a"b`, SegmentBytes: 100, MaxBytes: 1, CommitTimeout: -1})
	for _, field := range []string{"Service", "SegmentBytes", "MaxBytes", "CommitTimeout"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestOpen_newerFormatIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Config{})
	write(t, s, record("id-1"))
	closeSpool(t, s)
	files, err := filepath.Glob(filepath.Join(s.Folder(), "*.seg"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[9] = 2
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir, spool.Config{})
	if other.Folder() == s.Folder() {
		t.Error("took over a folder with a segment of version 2")
	}
	if got, err := os.ReadFile(files[0]); err != nil || string(got) != string(data) {
		t.Errorf("the file has changed (%v)", err)
	}
	if _, err := other.Orphans(); !errors.Is(err, spool.ErrFormat) {
		t.Errorf("Orphans: %v, want spool.ErrFormat", err)
	}
}

func TestWrite_concurrentSafe(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{SegmentBytes: 64 << 10})
	const callers, each = 16, 40
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				pair := []event.Record{record(fmt.Sprintf("%d/%d/a", c, i)), record(fmt.Sprintf("%d/%d/b", c, i))}
				if err := s.Write(t.Context(), pair); err != nil {
					t.Error(err)
				}
			}
		})
	}
	read := make(chan []event.Record)
	go func() { // a reader at the same time
		var all []event.Record
		for after := uint64(0); after < 2*callers*each; {
			messages, err := s.Read(context.Background(), after, 7)
			if err != nil {
				t.Error(err)
				break
			}
			for _, m := range messages {
				r, err := event.Decode(m.Payload)
				if err != nil || m.Seq != after+1 {
					t.Errorf("message %d after %d: %v", m.Seq, after, err)
				}
				after = m.Seq
				all = append(all, r)
			}
		}
		read <- all
	}()
	wg.Wait()
	all := <-read
	last := make(map[string]int)
	for i, r := range all {
		var c, n int
		var half string
		if _, err := fmt.Sscanf(strings.ReplaceAll(r.LogID, "/", " "), "%d %d %s", &c, &n, &half); err != nil {
			t.Fatal(err)
		}
		if half == "a" {
			if i+1 >= len(all) || all[i+1].LogID != fmt.Sprintf("%d/%d/b", c, n) {
				t.Fatalf("record %d: the records of one call are not together", i)
			}
			continue
		}
		key := fmt.Sprint(c)
		if n != last[key] {
			t.Fatalf("caller %d: call %d, want %d", c, n, last[key])
		}
		last[key]++
	}
	if len(all) != 2*callers*each {
		t.Errorf("%d records, want %d", len(all), 2*callers*each)
	}
}

func TestWrite_rejectsOnlyWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	bad := record("")
	err := s.Write(t.Context(), []event.Record{record("id-1"), bad, record("id-2")})
	var rejected *spool.RejectedError
	if !errors.As(err, &rejected) || rejected.Records != 1 || !errors.Is(err, event.ErrInvalid) {
		t.Errorf("got %v, want one rejected record", err)
	}
	wantIDs(t, readAll(t, s, 0), 1, 2)
	if stats := s.Stats(); stats.Rejected != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestWriteEncoded_encodesAsTheEventPackage(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	r := record("id-1")
	r.RecordHash = "abc"
	encoded, err := event.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteEncoded(t.Context(), []event.Record{r}, [][]byte{encoded}); err != nil {
		t.Fatal(err)
	}
	messages, err := s.Read(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.ProducerID, r.Seq = s.Producer(), 1
	if want, err := event.Encode(r); err != nil || string(messages[0].Payload) != string(want) {
		t.Errorf("got %s\nwant %s, %v", messages[0].Payload, want, err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	write(t, s, record("id-1"))
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(context.Background(), 1, 1)
		ended <- err
	}()
	closeSpool(t, s)
	closeSpool(t, s)
	if err := <-ended; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Read: %v, want spool.ErrClosed", err)
	}
	if err := s.Write(t.Context(), records(2, 2)); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Write after Close: %v, want spool.ErrClosed", err)
	}
}

func TestRead_waitsAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(ctx, 0, 1)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestFull_blocksThenFails_andDropsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{SegmentBytes: 4 << 10, MaxBytes: 32 << 10, BlockTimeout: time.Millisecond})
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = s.Write(t.Context(), records(n+1, n+1))
	}
	if !errors.Is(err, spool.ErrFull) || !strings.Contains(err.Error(), s.Folder()) {
		t.Fatalf("got %v, want spool.ErrFull that names the folder", err)
	}
	written := n - 1
	wantIDs(t, readAll(t, s, 0), 1, written)
	if stats := s.Stats(); stats.Full != 1 || stats.Bytes > 32<<10 || stats.Written != uint64(written) {
		t.Errorf("%+v", stats)
	}
	// An acknowledgement makes room, though the retention has not passed.
	if err := s.Acknowledge(t.Context(), uint64(written)); err != nil {
		t.Fatal(err)
	}
	write(t, s, records(written+1, written+1)...)
	wantIDs(t, readAll(t, s, uint64(written)), written+1, written+1)
}

func TestFull_waitsForAnAcknowledgement(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{SegmentBytes: 4 << 10, MaxBytes: 32 << 10, BlockTimeout: time.Hour})
	full := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		var err error
		for n := 1; err == nil && n <= 300; n++ {
			if n == 40 {
				close(full) // soon
			}
			err = s.Write(context.Background(), records(n, n))
		}
		ended <- err
	}()
	<-full
	var got []event.Record
	for after := uint64(0); after < 300; {
		messages, err := s.Read(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		after = messages[len(messages)-1].Seq
		for _, m := range messages {
			r, _ := event.Decode(m.Payload)
			got = append(got, r)
		}
		if err := s.Acknowledge(t.Context(), after); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	wantIDs(t, got, 1, 300)
}

func TestRetention(t *testing.T) {
	t.Parallel()
	now := at
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	dir := t.TempDir()
	config := spool.Config{SegmentBytes: 4 << 10, MaxBytes: 1 << 20, Retention: time.Hour, Now: clock}
	s := open(t, dir, config)
	write(t, s, records(1, 20)...)
	pass(10 * time.Minute)
	for i := 21; i <= 100; i++ {
		write(t, s, records(i, i)...)
	}
	before := s.Stats().Segments
	if got := s.Stats().OldestPending; got != 10*time.Minute {
		t.Errorf("oldest pending %v, want 10m", got)
	}
	reopen := func() {
		t.Helper()
		closeSpool(t, s)
		s = open(t, dir, config)
		await.Until(t, "a segment", func() bool { return s.Stats().Segments > 0 })
	}
	pass(24 * time.Hour)
	reopen()
	if got := s.Stats().Segments; got != before {
		t.Errorf("%d segments, want all %d: nothing is acknowledged", got, before)
	}
	if err := s.Acknowledge(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "one segment to be left", func() bool { return s.Stats().Segments == 1 })
	if got := s.Stats(); got.Pending != 0 || got.OldestPending != 0 || got.Written != 100 {
		t.Errorf("%+v", got)
	}
	reopen()
	if got := s.Stats(); got.Pending != 0 || got.Written != 100 {
		t.Errorf("after reopening: %+v", got)
	}
	write(t, s, records(101, 101)...)
	wantIDs(t, readAll(t, s, 100), 101, 101)
}

func TestAcknowledge_beyondTheLast(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	write(t, s, record("id-1"))
	if err := s.Acknowledge(t.Context(), 2); err == nil {
		t.Error("no error")
	}
}

func TestAcknowledged_lostOrGarbage_onlySendsAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"lost":    os.Remove,
		"garbage": func(path string) error { return os.WriteFile(path, []byte("garbage garbage"), 0o600) },
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, spool.Config{})
			write(t, s, records(1, 5)...)
			if err := s.Acknowledge(t.Context(), 4); err != nil {
				t.Fatal(err)
			}
			closeSpool(t, s)
			if err := damage(filepath.Join(s.Folder(), "acknowledged")); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, spool.Config{})
			if got := s.Stats(); got.Acknowledged != 0 || got.Pending != 5 {
				t.Errorf("%+v, want all pending", got)
			}
			wantIDs(t, readAll(t, s, 0), 1, 5)
		})
	}
}

func TestSegmentsGone_sequencesGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, spool.Config{})
	write(t, s, records(1, 5)...)
	if err := s.Acknowledge(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, s)
	files, _ := filepath.Glob(filepath.Join(s.Folder(), "*.seg"))
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	// The stream has the sequences up to 5, and would drop them.
	s = open(t, dir, spool.Config{})
	write(t, s, records(6, 6)...)
	wantIDs(t, readAll(t, s, 5), 6, 6)
}

func TestQuarantine_keepsTheBytes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	write(t, s, record("id-1"))
	messages, err := s.Read(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), messages[0], errors.New("too large")); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(s.Folder(), "quarantine", "*"))
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	if got, want := all.String(), string(messages[0].Payload)+"too large\n"; got != want || s.Stats().Quarantined != 1 {
		t.Errorf("got %q in %v, want %q", got, files, want)
	}
}

func TestOrphans_areDrainedUnderTheirOwnName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := open(t, dir, spool.Config{})
	write(t, left, records(1, 3)...)
	closeSpool(t, left)
	// Another folder, whose process lives: it adopts the left one, so hide that for a moment.
	hidden := filepath.Join(t.TempDir(), filepath.Base(left.Folder()))
	if err := os.Rename(left.Folder(), hidden); err != nil {
		t.Fatal(err)
	}
	own := open(t, dir, spool.Config{})
	write(t, own, records(7, 8)...)
	if err := os.Rename(hidden, left.Folder()); err != nil {
		t.Fatal(err)
	}
	orphans, err := own.Orphans()
	if err != nil || len(orphans) != 1 || orphans[0].Producer() != left.Producer() {
		t.Fatalf("orphans %v, %v; want the one of %s", orphans, err, left.Producer())
	}
	o := orphans[0]
	if again, err := own.Orphans(); err != nil || len(again) != 0 {
		t.Errorf("the same one is given twice: %v, %v", again, err)
	}
	wantIDs(t, readAll(t, o, 0), 1, 3)
	wantIDs(t, readAll(t, own, 0), 7, 8)
	if _, err := o.Read(t.Context(), 3, 1); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
	if err := o.Write(t.Context(), records(4, 4)); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("Write: %v, want spool.ErrClosed", err)
	}
	if err := o.Acknowledge(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, o)
	if orphans, err := spool.Orphans(dir, spool.Config{}); err != nil || len(orphans) != 0 {
		t.Errorf("drained: %v, %v; want none", orphans, err)
	}
	// Drained, taken over, and left again with a record that waits.
	if err := os.Rename(own.Folder(), hidden); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "spool")
	if err := os.Symlink(dir, elsewhere); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, own)
	again := open(t, elsewhere, spool.Config{})
	if again.Producer() != left.Producer() {
		t.Errorf("took over %s, want %s", again.Producer(), left.Producer())
	}
	write(t, again, records(4, 4)...)
	closeSpool(t, again)
	orphans, err = spool.Orphans(dir, spool.Config{})
	if err != nil || len(orphans) != 1 || orphans[0].Stats().Pending != 1 {
		t.Fatalf("left again: %v, %v; want one with one record", orphans, err)
	}
	closeSpool(t, orphans[0])
}

func TestFrames_areReadableWithoutUs(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), spool.Config{})
	write(t, s, record("id-1"))
	files, _ := filepath.Glob(filepath.Join(s.Folder(), "*.seg"))
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(data), `{"schema_version"`) // a brace alone may be a byte of a number
	if i < 0 || !json.Valid(data[i:]) {
		t.Errorf("no JSON at the end of %q", data)
	}
	for path, want := range map[string]os.FileMode{s.Folder(): 0o700, files[0]: 0o600, filepath.Join(s.Folder(), "lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}
