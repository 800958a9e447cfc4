package relay_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

var _ relay.Repairable[*spool.Refill] = (*spool.Spool)(nil)

// told is what a consumer tells the producers.
type told struct {
	mu   sync.Mutex
	last checkpoint.Checkpoint
}

func (w *told) Publish(_ context.Context, c checkpoint.Checkpoint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = c
	return nil
}

func (w *told) Progress(_ context.Context, producer string) (checkpoint.Progress, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.last.Producers[producer]
	return p, ok, nil
}

func (w *told) indexed(producer string) uint64 {
	p, _, _ := w.Progress(context.Background(), producer)
	return p.Indexed()
}

// consume carries what is on the stream into the store and tells w, until the test ends.
func consume(t *testing.T, s *memory.Stream, to store.Writer, w *told) {
	t.Helper()
	dial := func(ctx context.Context) (consumer.Source, error) {
		return s.Source(ctx, "g", stream.SourceOptions{})
	}
	c, err := consumer.New(dial, to, nowhere{}, consumer.Config{
		Watermarks: w, WatermarkInterval: time.Millisecond, CommitInterval: time.Millisecond, BatchAge: time.Millisecond, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	background(t, c.Run)
}

// nowhere takes dead letters, of which there are none.
type nowhere struct{}

func (nowhere) Append(context.Context, ...stream.Message) error { panic("a dead letter") }

func background(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The broker has confirmed records and lost them; the producer hears of it and sends them again, or says
// that they are gone.
func TestRepair_whatTheStreamLost_isSentAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kept bool
	}{{"kept", true}, {"kept no more", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := spool.Config{Logger: quiet, SegmentBytes: 4 << 10}
			if !c.kept {
				config.Retention = -1
			}
			queue, err := spool.Open(filepath.Join(t.TempDir(), "spool"), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = queue.Close() })
			lost, current := memory.New(memory.Config{}), memory.New(memory.Config{})
			var mu sync.Mutex
			now := lost
			toNow := func(ctx context.Context, name string) (stream.Publisher, error) {
				mu.Lock()
				s := now
				mu.Unlock()
				return dial(s)(ctx, name)
			}
			service := start(t, queue, toNow, fast())
			for i := 1; i <= 300; i += 20 { // in several segments
				write(t, queue, records(i, i+19)...)
			}
			flush(t, service)
			if !c.kept {
				await.Until(t, "the first segments are gone", func() bool { return queue.Kept() > 100 })
			}
			mu.Lock()
			now = current
			mu.Unlock()
			lost.Disconnect()
			write(t, queue, records(301, 310)...)
			flush(t, service)

			trail, watch := storetest.NewMemory(), &told{}
			consume(t, current, trail, watch)
			await.Until(t, "the gap is known", func() bool { p, _, _ := watch.Progress(t.Context(), queue.Producer()); return p.Seen >= 310 })
			background(t, func(ctx context.Context) error {
				return relay.Repair(ctx, queue, watch, toNow, relay.RepairConfig{Interval: 2 * time.Millisecond, Relay: fast()})
			})
			await.Until(t, "nothing is missing", func() bool { return watch.indexed(queue.Producer()) >= 310 })

			gaps := uint64(0)
			have := found(t, trail, func(g event.Gap) { gaps += g.Count })
			for _, r := range records(1, 310) {
				if have[r.LogID] > 1 {
					t.Errorf("%s is there %d times", r.LogID, have[r.LogID])
				}
			}
			if n := uint64(len(have)); n+gaps != 310 || c.kept && gaps != 0 || !c.kept && (gaps < 100 || gaps > 300) {
				t.Errorf("%d records and %d lost ones, want 310 together", n, gaps)
			}
		})
	}
}

// found gives how often each record is in the trail; gap is called with each gap record.
func found(t *testing.T, trail *storetest.Memory, gap func(event.Gap)) map[string]int {
	t.Helper()
	page, err := trail.Search(t.Context(), store.Query{Size: store.MaxSize})
	if err != nil || page.HasMore {
		t.Fatalf("more: %v, %v", page.HasMore, err)
	}
	have := make(map[string]int)
	for _, r := range page.Records {
		if g, ok := event.GapOf(r); ok {
			gap(g)
			continue
		}
		have[r.LogID]++
	}
	return have
}

func TestRepair_wrongConfig(t *testing.T) {
	t.Parallel()
	queue := openSpool(t, t.TempDir())
	for _, c := range []relay.RepairConfig{{Interval: -1}, {Patience: -1}, {Relay: relay.Config{Batch: -1}}} {
		if err := relay.Repair(t.Context(), queue, &told{}, nil, c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
