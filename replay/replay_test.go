package replay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/replay"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record gives the encoding of record number n, a second before or after the end of a month.
func record(t testing.TB, n int) []byte {
	t.Helper()
	at := time.Date(2026, 11, 30, 23, 59, 59+n%2, 0, time.UTC)
	data, err := event.Encode(event.Record{LogID: fmt.Sprintf("id-%05d", n), Timestamp: at, Action: event.ActionChange, ObjectType: "customer", ObjectID: fmt.Sprint(n)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bundle is a stream with n records and garbage at offset 5.
type bundle struct {
	stream *memory.Stream
	points points
}

func setup(t *testing.T, n int) *bundle {
	t.Helper()
	b := &bundle{stream: memory.New(memory.Config{})}
	p, err := b.stream.Publisher(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range n {
		data := record(t, i)
		if i == 5 {
			data = []byte("garbage")
		}
		if err := p.Publish(t.Context(), []stream.Message{{Seq: uint64(i + 1), Payload: data}}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bundle) open(ctx context.Context, from int64) (replay.Source, error) {
	s, err := b.stream.Source(ctx, "replay", stream.SourceOptions{StartAt: func(context.Context) (int64, bool, error) { return from, true, nil }})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b *bundle) config(c replay.Config) replay.Config {
	c.Stream, c.Checkpoints, c.Interval = "records", &b.points, 5*time.Millisecond
	c.Consumer = consumer.Config{Logger: slog.New(slog.DiscardHandler), BatchSize: 20, BatchAge: time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond}
	return c
}

// points keeps checkpoints.
type points struct {
	mu    sync.Mutex
	kept  map[string]checkpoint.Checkpoint
	saves int
	fails int // how often Load fails with err
	err   error
	asked func() // is called when Load is
}

func (p *points) Save(_ context.Context, c checkpoint.Checkpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil {
		p.kept = make(map[string]checkpoint.Checkpoint)
	}
	p.kept[c.Group+"@"+c.Stream] = c
	p.saves++
	return nil
}

func (p *points) Load(_ context.Context, of, group string) (checkpoint.Checkpoint, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil {
		p.asked()
	}
	if p.fails--; p.fails >= 0 {
		return checkpoint.Checkpoint{}, false, p.err
	}
	c, ok := p.kept[group+"@"+of]
	return c, ok, nil
}

func ids(t *testing.T, s store.Searcher) (all []string) {
	t.Helper()
	q := store.Query{Size: store.MaxSize}
	for {
		page, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			all = append(all, r.LogID)
		}
		if !page.HasMore {
			slices.Sort(all)
			return all
		}
		last := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &last
	}
}

// want gives the ids of the records first to last.
func want(first, last int) (all []string) {
	for n := first; n <= last; n++ {
		if n != 5 {
			all = append(all, fmt.Sprintf("id-%05d", n))
		}
	}
	return all
}

func TestRun_thePartAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		config      replay.Config
		first, last int
		undecodable int64
	}{
		{"all", replay.Config{End: true}, 0, 299, 1},
		{"from", replay.Config{From: 250, End: true}, 250, 299, 0},
		{"to", replay.Config{To: 9}, 0, 9, 1},
		{"both", replay.Config{From: 100, To: 199}, 100, 199, 0},
		{"one", replay.Config{From: 7, To: 7}, 7, 7, 0},
		{"beyond the end", replay.Config{From: 290, To: 5_000_000}, 290, 299, 0},
		{"behind the end", replay.Config{From: 300, End: true}, 1, 0, 0},
		{"far behind the end", replay.Config{From: 10_000_000, End: true}, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 300)
			to := storetest.NewMemory()
			var refused []replay.Refusal
			config := b.config(c.config)
			config.Refused = func(r replay.Refusal) { refused = append(refused, r) }
			report, err := replay.Run(t.Context(), b.open, to, config)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := ids(t, to), want(c.first, c.last); !slices.Equal(got, want) {
				t.Errorf("%d records, want %d", len(got), len(want))
			}
			n := int64(len(want(c.first, c.last)))
			if report.Stored != n || report.Undecodable != c.undecodable || report.Read != n+c.undecodable || report.Duplicates+report.Conflicts+report.Refused != 0 || report.Resumed {
				t.Errorf("report %+v", report)
			}
			if int64(len(refused)) != c.undecodable || len(refused) > 0 && (refused[0].Offset != 5 || refused[0].Type != "undecodable" || refused[0].Reason == "") {
				t.Errorf("refused %+v", refused)
			}
			// Again: nothing changes, and it begins anew.
			again, err := replay.Run(t.Context(), b.open, to, config)
			if err != nil || again.Duplicates != n || again.Stored != 0 || again.Resumed {
				t.Errorf("again: %+v %v", again, err)
			}
		})
	}
}

func TestRun_emptyStream(t *testing.T) {
	t.Parallel()
	b := &bundle{stream: memory.New(memory.Config{})}
	report, err := replay.Run(t.Context(), b.open, storetest.NewMemory(), b.config(replay.Config{End: true}))
	if err != nil || report.Read != 0 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestRun_whatTheStreamLostIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t, 100)
	b.stream.Truncate(40)
	to := storetest.NewMemory()
	report, err := replay.Run(t.Context(), b.open, to, b.config(replay.Config{From: 10, End: true}))
	if err != nil || report.Gone != 30 || report.First != 40 || report.Stored != 60 {
		t.Errorf("%+v %v", report, err)
	}
	if report, err = replay.Run(t.Context(), b.open, to, b.config(replay.Config{From: 10, To: 19})); err != nil || report.Gone != 10 || report.Read != 0 {
		t.Errorf("all of it gone: %+v %v", report, err)
	}
}

// stopping is a store that ends ctx at the write number stop, before or after it has stored.
type stopping struct {
	*storetest.Memory

	stop func()

	mu    sync.Mutex // several bulks are written at the same time
	calls int
	at    int
}

func (s *stopping) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	s.mu.Lock()
	s.calls++
	call, last := s.calls, s.calls == s.at
	s.mu.Unlock()
	if call%5 == 2 {
		return nil, errors.New("connection reset")
	}
	results, err := s.Memory.Write(ctx, docs)
	if last {
		s.stop()
	}
	return results, err
}

// TestRun_interrupted: a replay that was interrupted goes on, without a record twice or missing, and one with
// Restart begins anew. The connection is lost meanwhile, and the store has trouble.
func TestRun_interrupted(t *testing.T) {
	t.Parallel()
	b := setup(t, 1000)
	to := &stopping{Memory: storetest.NewMemory()}
	var last replay.Report
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		to.stop, to.at = cancel, to.calls+20
		var err error
		b.stream.Disconnect()
		last, err = replay.Run(ctx, b.open, to, b.config(replay.Config{End: true}))
		cancel()
		if done = err == nil; !done && !errors.Is(err, replay.ErrStopped) {
			t.Fatal(err)
		}
		if runs > 0 && !last.Resumed {
			t.Errorf("run %d has not gone on: %+v", runs, last)
		}
		if runs > 50 {
			t.Fatal("never ends")
		}
	}
	if got := ids(t, to); !slices.Equal(got, want(0, 999)) {
		t.Errorf("%d records", len(got))
	}
	if runs < 2 {
		t.Errorf("%d runs", runs)
	}
	to.at = -1
	report, err := replay.Run(t.Context(), b.open, to, b.config(replay.Config{End: true, Restart: true}))
	if err != nil || report.Resumed || report.Duplicates != 999 || report.Stored != 0 {
		t.Errorf("restart: %+v %v", report, err)
	}
}

func TestRun_connectionLost_goesOn(t *testing.T) {
	t.Parallel()
	b := setup(t, 2000)
	to := storetest.NewMemory()
	opened := 0
	open := func(ctx context.Context, from int64) (replay.Source, error) {
		s, err := b.open(ctx, from)
		if opened++; err == nil && opened > 1 && opened < 5 {
			return &failing{Source: s, reads: 10}, nil
		}
		return s, err
	}
	report, err := replay.Run(t.Context(), open, to, b.config(replay.Config{End: true}))
	if err != nil || opened < 5 {
		t.Fatalf("%d sources, %+v, %v", opened, report, err)
	}
	if got := ids(t, to); !slices.Equal(got, want(0, 1999)) {
		t.Errorf("%d records", len(got))
	}
}

// failing is a source that fails after some reads.
type failing struct {
	replay.Source

	reads int
}

func (f *failing) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	if f.reads--; f.reads < 0 {
		return nil, stream.ErrClosed
	}
	return f.Source.Read(ctx, limit)
}

// TestRun_mostlyGarbage: a consumer would stop and ask; a replay only counts what stays on the stream.
func TestRun_mostlyGarbage(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	p, err := b.stream.Publisher(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range 1000 {
		if err := p.Publish(t.Context(), []stream.Message{{Seq: uint64(i + 1), Payload: []byte("garbage")}}); err != nil {
			t.Fatal(err)
		}
	}
	report, err := replay.Run(t.Context(), b.open, storetest.NewMemory(), b.config(replay.Config{End: true}))
	if err != nil || report.Undecodable != 1001 || report.Stored != 9 {
		t.Errorf("%+v %v", report, err)
	}
}

func TestRun_conflictsAndProgress(t *testing.T) {
	t.Parallel()
	b := setup(t, 50)
	other := event.Record{LogID: "id-00007", Timestamp: time.Unix(1e9, 0), Action: event.ActionDelete}
	to := storetest.NewMemory(other)
	var mu sync.Mutex
	var seen []replay.Progress
	config := b.config(replay.Config{End: true})
	config.Progress = func(p replay.Progress) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p)
	}
	report, err := replay.Run(t.Context(), b.open, to, config)
	if err != nil || report.Conflicts != 1 || report.Stored != 48 {
		t.Errorf("%+v %v", report, err)
	}
	r, err := to.Get(t.Context(), "id-00007")
	if err != nil || r.Action != event.ActionDelete {
		t.Errorf("what was stored first is gone: %+v %v", r, err)
	}
	if len(seen) == 0 || seen[len(seen)-1].Report != report || seen[len(seen)-1].Last != 49 {
		t.Errorf("progress %+v", seen)
	}
}

func TestRun_namesMistakes(t *testing.T) {
	t.Parallel()
	_, err := replay.Run(t.Context(), nil, nil, replay.Config{From: -1, To: -2, Interval: -1})
	for _, w := range []string{"Config.From is -1", "Config.To is -2", "Config.Interval is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), w) || !errors.Is(err, replay.ErrConfig) {
			t.Errorf("no %s in %v", w, err)
		}
	}
	b := setup(t, 1)
	b.points.fails, b.points.err = 3, errors.New("store is not there")
	if report, err := replay.Run(t.Context(), b.open, storetest.NewMemory(), b.config(replay.Config{End: true})); err != nil || report.Stored != 1 {
		t.Errorf("checkpoints not there for a while: %+v %v", report, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.points.fails, b.points.asked = 1000, cancel
	if _, err := replay.Run(ctx, b.open, storetest.NewMemory(), b.config(replay.Config{End: true})); !errors.Is(err, b.points.err) {
		t.Errorf("checkpoints never there: %v", err)
	}
	b.points.asked = func() {}
	b.points.fails, b.points.err = 1, fmt.Errorf("%w: no", checkpoint.ErrForbidden)
	if report, err := replay.Run(t.Context(), b.open, storetest.NewMemory(), b.config(replay.Config{End: true})); err != nil || report.Stored != 1 {
		t.Errorf("checkpoints forbidden: %+v %v", report, err)
	}
}
