package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/deadletter"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var november = time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)

// post appends to a stream in memory.
type post struct {
	t      testing.TB
	stream *memory.Stream
	fail   func(m stream.Message) error // may refuse a message
}

func (p *post) Append(ctx context.Context, messages ...stream.Message) error {
	publisher, err := p.stream.Publisher(ctx, "")
	if err != nil {
		return err
	}
	defer publisher.Close()
	for i, m := range messages {
		if p.fail != nil {
			if err := p.fail(m); err != nil {
				return err
			}
		}
		m.Seq = uint64(i + 1)
		if err := publisher.Publish(ctx, []stream.Message{m}); err != nil {
			return err
		}
	}
	return nil
}

// bundle is a stream of dead letters.
type bundle struct {
	t      *testing.T
	stream *memory.Stream
	post   *post
	box    *deadletter.Box
	clock  time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, stream: memory.New(memory.Config{}), clock: november}
	b.post = &post{t: t, stream: b.stream}
	open := func(ctx context.Context, from int64) (deadletter.Source, error) {
		s, err := b.stream.Source(ctx, "dlq", stream.SourceOptions{StartAt: func(context.Context) (int64, bool, error) { return from, true, nil }})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	var err error
	b.box, err = deadletter.New(open, b.post, deadletter.Config{Now: func() time.Time { return b.clock }, Patience: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// letter puts a dead letter on the stream, as a consumer does, that came from the offset.
func (b *bundle) letter(offset int, kind, reason string, payload []byte, more ...string) {
	b.t.Helper()
	properties := map[string]string{
		consumer.PropertyErrorType: kind, consumer.PropertyErrorReason: reason, consumer.PropertySourceStream: "records",
		consumer.PropertySourceOffset: strconv.Itoa(offset), consumer.PropertyFirstFailed: b.clock.Format(time.RFC3339Nano), "schema_version": "1",
	}
	for i := 0; i+1 < len(more); i += 2 {
		properties[more[i]] = more[i+1]
	}
	if err := b.post.Append(b.t.Context(), stream.Message{ID: "m" + strconv.Itoa(offset), Payload: payload, Properties: properties}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) list(f deadletter.Filter) []deadletter.Letter {
	b.t.Helper()
	letters, err := b.box.List(b.t.Context(), f)
	if err != nil {
		b.t.Fatal(err)
	}
	return letters
}

func numbers(letters []deadletter.Letter) (n []int64) {
	for _, l := range letters {
		n = append(n, l.Number)
	}
	return n
}

// record gives the encoding of record number n.
func record(t testing.TB, n int) []byte {
	t.Helper()
	data, err := event.Encode(event.Record{LogID: fmt.Sprintf("id-%d", n), Timestamp: november, Action: event.ActionChange, ObjectType: "customer", ObjectID: strconv.Itoa(n)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestList_lettersWithFirstAndLastTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if n, err := b.box.Open(t.Context()); n != 0 || err != nil {
		t.Fatalf("empty stream: %d %v", n, err)
	}
	b.letter(7, "undecodable", "no JSON", []byte("garbage"))
	b.letter(9, "refused", "400 mapper_parsing_exception", record(t, 9))
	b.clock = b.clock.Add(time.Hour)
	b.letter(7, "undecodable", "no JSON", []byte("garbage")) // a consumer that was killed puts it aside again
	b.letter(7, "undecodable", "no JSON", []byte("other"))   // of a stream that was made anew
	b.letter(10, "undecodable", "too large", []byte("begin"), consumer.PropertyCut, "5000000")
	want := []deadletter.Letter{
		{Number: 0, ID: "m7", Stream: "records", Offset: 7, Type: "undecodable", Reason: "no JSON", First: november, Last: november.Add(time.Hour), Times: 2, Size: 7},
		{Number: 1, ID: "m9", Stream: "records", Offset: 9, Type: "refused", Reason: "400 mapper_parsing_exception", First: november, Last: november, Times: 1, Size: len(record(t, 9))},
		{Number: 3, ID: "m7", Stream: "records", Offset: 7, Type: "undecodable", Reason: "no JSON", First: b.clock, Last: b.clock, Times: 1, Size: 5},
		{Number: 4, ID: "m10", Stream: "records", Offset: 10, Type: "undecodable", Reason: "too large", First: b.clock, Last: b.clock, Times: 1, Size: 5_000_000, Cut: true},
	}
	open := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".copies" }, cmp.Ignore())
	if d := cmp.Diff(want, b.list(deadletter.Filter{}), open); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, c := range []struct {
		filter deadletter.Filter
		want   []int64
	}{
		{deadletter.Filter{Type: "refused"}, []int64{1}},
		{deadletter.Filter{Reason: "MAPPER"}, []int64{1}},
		{deadletter.Filter{Type: "undecodable", Reason: "json"}, []int64{0, 3}},
		{deadletter.Filter{Numbers: []int64{4, 2, 0}}, []int64{0, 4}}, // 2 is 0 for the second time
		{deadletter.Filter{Handled: true}, nil},
	} {
		if got := numbers(b.list(c.filter)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.filter, got, c.want)
		}
	}
	_, err := b.box.List(t.Context(), deadletter.Filter{Numbers: []int64{1, 77, 78}})
	if !errors.Is(err, deadletter.ErrNotFound) || !strings.Contains(err.Error(), "77") || !strings.Contains(err.Error(), "78") {
		t.Errorf("unknown numbers: %v", err)
	}
}

func TestMessage_hasTheBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bytes := []byte("no \x00 record \xff")
	b.letter(1, "undecodable", "no JSON", []byte("x"))
	b.letter(2, "undecodable", "no JSON", bytes)
	l, m, err := b.box.Message(t.Context(), 1)
	if err != nil || l.Offset != 2 || string(m.Payload) != string(bytes) || m.Properties["schema_version"] != "1" {
		t.Errorf("%+v %+v %v", l, m, err)
	}
	if _, _, err := b.box.Message(t.Context(), 2); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestDrop_isKeptWithNameTimeAndReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 2500 {
		b.letter(n, "undecodable", "no JSON", []byte("garbage"))
	}
	all := b.list(deadletter.Filter{})
	for _, c := range []struct{ by, why string }{{"", "why"}, {"jane", " "}} {
		if err := b.box.Drop(t.Context(), all, c.by, c.why); !errors.Is(err, deadletter.ErrWho) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	b.clock = b.clock.Add(time.Hour)
	if err := b.box.Drop(t.Context(), all[:2400], "jane@ops", "ticket 4711"); err != nil {
		t.Fatal(err)
	}
	b.clock = b.clock.Add(time.Hour)
	if err := b.box.Drop(t.Context(), all[:1], "john@ops", "again"); err != nil { // what was decided first counts
		t.Fatal(err)
	}
	b.letter(0, "undecodable", "no JSON", []byte("garbage")) // and does not come to life again
	if n, err := b.box.Open(t.Context()); n != 100 || err != nil {
		t.Errorf("%d open, %v", n, err)
	}
	handled := b.list(deadletter.Filter{Handled: true})
	want := &deadletter.Mark{Kind: deadletter.KindDropped, At: november.Add(time.Hour), By: "jane@ops", Reason: "ticket 4711"}
	if len(handled) != 2400 || !cmp.Equal(want, handled[0].End) || !cmp.Equal(want, handled[2399].End) {
		t.Errorf("%d handled, %+v", len(handled), handled[0].End)
	}
	if n := len(b.list(deadletter.Filter{All: true})); n != 2500 {
		t.Errorf("%d in all", n)
	}
}

// TestMark_cannotBeForged: what somebody publishes as a record, and a consumer puts aside with its properties,
// is a letter and no mark.
func TestMark_cannotBeForged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.letter(1, "undecodable", "no JSON", []byte("garbage"))
	forged := []byte(`{"kind":"dropped","at":"2026-11-03T00:00:00Z","by":"jane@ops","reason":"x","letters":[0]}`)
	b.letter(2, "undecodable", "log_id is missing", forged, deadletter.PropertyMark, "dropped")
	if got := numbers(b.list(deadletter.Filter{})); !slices.Equal(got, []int64{0, 1}) {
		t.Errorf("open: %v", got)
	}
	for _, bad := range []string{"no JSON", `{"kind":"loved","letters":[0]}`} { // is nobody's, and does no harm
		if err := b.post.Append(t.Context(), stream.Message{Payload: []byte(bad), Properties: map[string]string{deadletter.PropertyMark: "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := numbers(b.list(deadletter.Filter{})); !slices.Equal(got, []int64{0, 1}) {
		t.Errorf("open: %v", got)
	}
}

// answers is a store that refuses some records and has trouble with others.
type answers struct {
	*storetest.Memory

	refuse map[string]store.Status
	calls  int
}

var errRefused = errors.New("field is no number")

func (a *answers) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	a.calls++
	results := make([]store.Result, len(docs))
	for i, d := range docs {
		if status, ok := a.refuse[d.Record.LogID]; ok {
			results[i] = store.Result{Status: status, Err: errRefused}
			continue
		}
		one, err := a.Memory.Write(ctx, docs[i:i+1])
		if err != nil {
			return nil, err
		}
		results[i] = one[0]
	}
	return results, nil
}

func TestRetry_storesMarksAndKeepsTheRestOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 4 {
		b.letter(100+n, "refused", "mapping", record(t, n))
	}
	b.letter(200, "undecodable", "no JSON", []byte("garbage"))
	b.letter(201, "undecodable", "too large", record(t, 5), consumer.PropertyCut, "5000000")
	to := &answers{Memory: storetest.NewMemory(), refuse: map[string]store.Status{"id-1": store.Poison, "id-2": store.Conflict}}
	if _, err := to.Memory.Write(t.Context(), []store.Doc{{Record: decoded(t, record(t, 3))}}); err != nil {
		t.Fatal(err)
	}
	b.clock = b.clock.Add(time.Hour)
	report, err := b.box.Retry(t.Context(), to, b.list(deadletter.Filter{}), "jane@ops")
	if want := (deadletter.Report{Stored: 1, Duplicates: 1, Undecodable: 2, Refused: 1, Conflicts: 1}); err != nil || report != want {
		t.Errorf("%+v, %v", report, err)
	}
	r, err := to.Get(t.Context(), "id-0")
	if err != nil || r.Stream != "records" || r.StreamOffset != 100 || !r.IngestedAt.Equal(b.clock) {
		t.Errorf("%+v %v", r, err)
	}
	open := b.list(deadletter.Filter{})
	if got := numbers(open); !slices.Equal(got, []int64{1, 2, 4, 5}) {
		t.Fatalf("open: %v", got)
	}
	if l := open[0]; l.Times != 2 || !l.Last.Equal(b.clock) || !l.First.Equal(november) || l.Reason != errRefused.Error() || l.Type != "refused" {
		t.Errorf("refused again: %+v", l)
	}
	if l := open[1]; l.Type != "conflict" {
		t.Errorf("conflict: %+v", l)
	}
	if l := open[3]; !strings.Contains(l.Reason, "only the beginning") {
		t.Errorf("cut: %+v", l)
	}
	handled := b.list(deadletter.Filter{Handled: true})
	want := &deadletter.Mark{Kind: deadletter.KindStored, At: b.clock, By: "jane@ops"}
	if len(handled) != 2 || !cmp.Equal(want, handled[0].End) {
		t.Errorf("handled: %+v", handled)
	}
	to.refuse = nil
	if report, err = b.box.Retry(t.Context(), to, open[:1], "jane@ops"); err != nil || report.Stored != 1 {
		t.Errorf("mended: %+v %v", report, err)
	}
	if got := numbers(b.list(deadletter.Filter{})); !slices.Equal(got, []int64{2, 4, 5}) {
		t.Errorf("open: %v", got)
	}
	if _, err := b.box.Retry(t.Context(), to, open, ""); !errors.Is(err, deadletter.ErrWho) {
		t.Errorf("nobody: %v", err)
	}
}

func decoded(t *testing.T, data []byte) event.Record {
	t.Helper()
	r, err := event.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRetry_cutOff: whatever ends a retry between the store and the mark, the letter stays open, and the next
// try finds it stored and marks it.
func TestRetry_cutOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 1200
	for i := range n {
		b.letter(i, "refused", "mapping", record(t, i))
	}
	to := &answers{Memory: storetest.NewMemory()}
	errKilled := errors.New("killed")
	marks := 0
	b.post.fail = func(m stream.Message) error {
		if m.Properties[deadletter.PropertyMark] == "stored" {
			if marks++; marks == 2 {
				return errKilled
			}
		}
		return nil
	}
	report, err := b.box.Retry(t.Context(), to, b.list(deadletter.Filter{}), "jane@ops")
	if !errors.Is(err, errKilled) || report.Stored != 1000 {
		t.Fatalf("%+v %v", report, err)
	}
	if open, err := b.box.Open(t.Context()); open != n-500 || err != nil {
		t.Errorf("%d open, %v", open, err)
	}
	report, err = b.box.Retry(t.Context(), to, b.list(deadletter.Filter{}), "jane@ops")
	if err != nil || report.Stored != 200 || report.Duplicates != 500 {
		t.Errorf("%+v %v", report, err)
	}
	if open, err := b.box.Open(t.Context()); open != 0 || err != nil {
		t.Errorf("%d open, %v", open, err)
	}
}

func TestRetry_storeTakesNothing_isAnErrorAndNoMark(t *testing.T) {
	t.Parallel()
	for _, status := range []store.Status{store.Transient, store.Environment} {
		b := setup(t)
		b.letter(1, "refused", "mapping", record(t, 1))
		b.letter(2, "refused", "mapping", record(t, 2))
		to := &answers{Memory: storetest.NewMemory(), refuse: map[string]store.Status{"id-2": status}}
		letters := b.list(deadletter.Filter{})
		b.clock = b.clock.Add(time.Minute)
		advance(b)
		report, err := b.box.Retry(t.Context(), to, letters, "jane@ops")
		if !errors.Is(err, deadletter.ErrStore) || !errors.Is(err, errRefused) || report.Stored != 1 || report.Open() != 0 {
			t.Errorf("%v: %+v %v", status, report, err)
		}
		if got := b.list(deadletter.Filter{}); len(got) != 1 || got[0].Times != 1 {
			t.Errorf("%v: open %+v", status, got)
		}
	}
}

// advance makes the clock of the box run.
func advance(b *bundle) {
	open := func(ctx context.Context, from int64) (deadletter.Source, error) {
		return b.stream.Source(ctx, "dlq", stream.SourceOptions{StartAt: func(context.Context) (int64, bool, error) { return from, true, nil }})
	}
	box, err := deadletter.New(open, b.post, deadletter.Config{Patience: time.Nanosecond})
	if err != nil {
		b.t.Fatal(err)
	}
	b.box = box
}

func TestNew_namesMistakes(t *testing.T) {
	t.Parallel()
	_, err := deadletter.New(nil, nil, deadletter.Config{MaxMessageSize: -1, Patience: -1})
	if !errors.Is(err, deadletter.ErrConfig) {
		t.Fatal(err)
	}
	for _, want := range []string{"no source", "MaxMessageSize is -1", "Patience is -1ns"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	b := setup(t)
	b.letter(1, "refused", "mapping", record(t, 1))
	reader, err := deadletter.New(func(ctx context.Context, _ int64) (deadletter.Source, error) {
		return b.stream.Source(ctx, "dlq", stream.SourceOptions{})
	}, nil, deadletter.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Drop(t.Context(), b.list(deadletter.Filter{}), "jane", "why"); !errors.Is(err, deadletter.ErrConfig) {
		t.Errorf("drop without an appender: %v", err)
	}
}
