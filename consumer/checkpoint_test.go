package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// book keeps checkpoints, and what the producers were told.
type book struct {
	mu   sync.Mutex
	last *checkpoint.Checkpoint
	told []checkpoint.Checkpoint
	fail bool
	// unreadable is how often it cannot be loaded, and why.
	unreadable, loads int
	why               error
}

func (b *book) Save(_ context.Context, c checkpoint.Checkpoint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail {
		return errors.New("no room in the book")
	}
	b.last = &c
	return nil
}

func (b *book) Load(context.Context, string, string) (checkpoint.Checkpoint, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loads++; b.loads <= b.unreadable {
		return checkpoint.Checkpoint{}, false, b.why
	}
	if b.last == nil {
		return checkpoint.Checkpoint{}, false, nil
	}
	return *b.last, true, nil
}

func (b *book) Publish(_ context.Context, c checkpoint.Checkpoint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail {
		return errors.New("nobody listens")
	}
	b.told = append(b.told, c)
	return nil
}

// known gives what the producers know last of producer p.
func (b *book) known() checkpoint.Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.told) == 0 {
		return checkpoint.Progress{}
	}
	return b.told[len(b.told)-1].Producers["p"]
}

func (b *book) failing(fail bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = fail
}

// startWith runs a consumer with the book; its sources begin where the book says.
func (b *bench) startWith(t *testing.T, notes *book) (c *consumer.Consumer, stop func()) {
	t.Helper()
	b.config.Checkpoints, b.config.Watermarks, b.config.WatermarkInterval = notes, notes, time.Millisecond
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{StartAt: c.StartAt})
	}
	c, err := consumer.New(dial, b.store, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	return c, run(t, c)
}

// sent gives the encodings of records with these sequences of producer p.
func sent(t *testing.T, seqs ...uint64) (all [][]byte) {
	t.Helper()
	for _, seq := range seqs {
		all = append(all, event.Stamp(payload(t, int(seq)), "p", seq))
	}
	return all
}

func TestCheckpoint_watermarkAndMissing(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	publish(t, b.stream, sent(t, 1, 2, 3)...)
	c, _ := b.startWith(t, notes)
	await.Until(t, "the producers know that all are there", func() bool { return notes.known().Indexed() == 3 })

	publish(t, b.stream, sent(t, 6, 7)...)
	await.Until(t, "the gap is told", func() bool { return notes.known().Seen == 7 })
	if d := cmp.Diff([]checkpoint.Range{{From: 4, To: 5}}, notes.known().Missing); d != "" || notes.known().Indexed() != 3 {
		t.Errorf("indexed %d, missing (-want +got)\n%s", notes.known().Indexed(), d)
	}
	if s := c.Stats(); s.SequenceGaps != 1 || s.MissingRecords != 2 {
		t.Errorf("%d gaps with %d records, want 1 with 2", s.SequenceGaps, s.MissingRecords)
	}

	publish(t, b.stream, sent(t, 4)...) // sent again
	gap := event.Gap{Producer: "p", Reason: event.GapDamaged, Count: 1, From: 5, To: 5, Last: november}
	data, err := event.Encode(gap.Record(gap.ID()))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b.stream, event.Stamp(data, "p", 8))
	await.Until(t, "nothing is missing", func() bool { return notes.known().Indexed() == 8 })
	if s := c.Stats(); s.MissingRecords != 0 || s.LostRecords != 1 || s.SequenceGaps != 1 {
		t.Errorf("missing %d, lost %d, gaps %d, want 0, 1, 1", s.MissingRecords, s.LostRecords, s.SequenceGaps)
	}
}

// What somebody told the broker does not count.
func TestCheckpoint_offsetMovedForward_nothingIsSkipped(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	publish(t, b.stream, sent(t, 1, 2)...)
	c, stop := b.startWith(t, notes)
	await.Until(t, "the first are done", func() bool { return c.Stats().Stored == 2 })
	stop()
	publish(t, b.stream, sent(t, 3, 4)...)
	meddler, err := b.stream.Source(t.Context(), group, stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := meddler.Commit(t.Context(), 9_000_000); err != nil {
		t.Fatal(err)
	}
	_ = meddler.Close()

	c, _ = b.startWith(t, notes)
	await.Until(t, "the others are stored", func() bool { return c.Stats().Stored == 2 })
	if got := len(b.store.ids()); got != 4 {
		t.Errorf("%d records, want 4", got)
	}
	if s := c.Stats(); s.SequenceGaps != 0 || s.Received != 2 {
		t.Errorf("received %d with %d gaps, want 2 and 0", s.Received, s.SequenceGaps)
	}
}

func TestCheckpoint_streamMadeAnew_isReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	publish(t, b.stream, sent(t, 1, 2, 3, 4, 5)...)
	c, stop := b.startWith(t, notes)
	await.Until(t, "all are done", func() bool { return c.Stats().Stored == 5 })
	stop()

	b.stream = memory.New(memory.Config{})
	publish(t, b.stream, sent(t, 8, 9)...)
	c, stop = b.startWith(t, notes)
	await.Until(t, "those of the new stream are stored", func() bool { return c.Stats().Stored == 2 })
	await.Until(t, "what went with the old one is known", func() bool { return notes.known().Seen == 9 })
	if d := cmp.Diff([]checkpoint.Range{{From: 6, To: 7}}, notes.known().Missing); d != "" {
		t.Errorf("missing (-want +got)\n%s", d)
	}
	stop()

	// The checkpoint is now one of the new stream.
	publish(t, b.stream, sent(t, 10)...)
	c, _ = b.startWith(t, notes)
	await.Until(t, "the next is stored", func() bool { return c.Stats().Stored == 1 })
	if s := c.Stats(); s.Received != 1 {
		t.Errorf("received %d, want 1", s.Received)
	}
}

func TestCheckpoint_cannotBeSaved_recordsGoOn(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{fail: true}
	publish(t, b.stream, sent(t, 1, 2)...)
	c, _ := b.startWith(t, notes)
	await.Until(t, "they are stored", func() bool { return c.Stats().Committed >= 1 })
	await.Until(t, "failures are counted", func() bool { return c.Stats().CheckpointErrors > 0 })
	notes.failing(false)
	await.Until(t, "the producers know without another record", func() bool { return notes.known().Indexed() == 2 })
}

func TestCheckpoint_partition_saysNothingOfMissing(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	b.config.Partition = true
	publish(t, b.stream, sent(t, 2, 5, 9)...)
	c, stop := b.startWith(t, notes)
	await.Until(t, "all are done", func() bool { return c.Stats().Committed >= 2 })
	stop()
	if s := c.Stats(); s.SequenceGaps != 0 || s.MissingRecords != 0 || len(notes.told) != 0 {
		t.Errorf("%d gaps, told %v", s.SequenceGaps, notes.told)
	}
	if notes.last == nil || notes.last.Offset < 2 {
		t.Errorf("checkpoint %+v, want the offset", notes.last)
	}
}

// A consumer that joins a long life of a producer does not take what was before for missing.
func TestCheckpoint_joinedLater(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	publish(t, b.stream, sent(t, 1, 2, 3, 4)...)
	b.stream.Truncate(2)
	c, _ := b.startWith(t, notes)
	await.Until(t, "the rest is done", func() bool { return c.Stats().Stored == 2 })
	await.Until(t, "the producers know", func() bool { return notes.known().Indexed() == 4 })
	if s := c.Stats(); s.SequenceGaps != 0 {
		t.Errorf("%d gaps", s.SequenceGaps)
	}
}

func TestCheckpoint_cannotBeLoaded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		err   error
		loads int
	}{
		{"for now, it waits", errors.New("not now"), 4},
		{"for ever, it goes on", fmt.Errorf("%w: 403", checkpoint.ErrForbidden), 1},
		{"it is garbage, it goes on", fmt.Errorf("%w: garbage", checkpoint.ErrFormat), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, notes := newBench(), &book{unreadable: 3, why: c.err}
			publish(t, b.stream, sent(t, 1)...)
			con, stop := b.startWith(t, notes)
			await.Until(t, "it was stored", func() bool { return con.Stats().Stored == 1 })
			stop()
			if notes.loads != c.loads {
				t.Errorf("asked %d times, want %d", notes.loads, c.loads)
			}
		})
	}
}
