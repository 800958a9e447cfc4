package rabbit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// point gives a checkpoint of the records stream, group g, in which producer p has seen so much.
func point(records string, seen uint64, missing ...checkpoint.Range) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{
		Stream: records, Group: "g", Offset: int64(seen), At: time.Now().UTC(),
		Producers: map[string]checkpoint.Progress{"p": {Seen: seen, Missing: missing}},
	}
}

// newWatermarks gives the watermarks of the records, group g.
func newWatermarks(t *testing.T, records rabbit.Config) *rabbit.Watermarks {
	t.Helper()
	w, err := rabbit.NewWatermarks(records, "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestWatermarks(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	records := config
	records.Stream += "-records"
	config.Stream = rabbit.WatermarksOf(records).Stream
	if err := rabbit.Declare(t.Context(), config, rabbit.WatermarkLimits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rabbit.Delete(context.WithoutCancel(t.Context()), config); err != nil {
			t.Error(err)
		}
	})
	writer, reader := newWatermarks(t, records), newWatermarks(t, records)
	ctx := t.Context()

	if n, err := reader.IndexedUpTo(ctx, "p", 3, 9); n != 3 || err != nil {
		t.Errorf("of an empty stream: %d, %v, want 3", n, err)
	}
	if err := writer.Publish(ctx, point(records.Stream, 7)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ after, upTo, want uint64 }{{0, 100, 7}, {0, 5, 5}, {8, 100, 8}} {
		if n, err := reader.IndexedUpTo(ctx, "p", c.after, c.upTo); n != c.want || err != nil {
			t.Errorf("between %d and %d: %d, %v, want %d", c.after, c.upTo, n, err, c.want)
		}
	}
	if n, err := reader.IndexedUpTo(ctx, "nobody", 2, 9); n != 2 || err != nil {
		t.Errorf("of an unknown producer: %d, %v, want 2", n, err)
	}

	// Others, and garbage, do not count; what is missing does.
	appender, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer appender.Close()
	if err := appender.Append(ctx, stream.Message{Payload: []byte("garbage")}, stream.Message{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []checkpoint.Checkpoint{point(records.Stream, 20, checkpoint.Range{From: 10, To: 12}), point("others", 99)} {
		if err := writer.Publish(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	for {
		p, ok, err := reader.Progress(ctx, "p")
		if err != nil || !ok {
			t.Fatalf("known: %v, %v", ok, err)
		}
		if p.Seen == 7 {
			continue // the newest is on its way
		}
		if d := cmp.Diff(checkpoint.Progress{Seen: 20, Missing: []checkpoint.Range{{From: 10, To: 12}}}, p); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		break
	}

	// A reader that comes later finds the newest of its group, or nothing if it is not at the end.
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := reader.Progress(ctx, "p"); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	if err := writer.Publish(ctx, point(records.Stream, 30)); err != nil {
		t.Fatal(err)
	}
	if n, err := newWatermarks(t, records).IndexedUpTo(ctx, "p", 0, 100); n != 30 || err != nil {
		t.Errorf("later: %d, %v, want 30", n, err)
	}
}

func TestWatermarks_noStream_isAnError(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	if _, _, err := newWatermarks(t, config).Progress(t.Context(), "p"); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	config.Partitions = 3
	if _, err := rabbit.NewWatermarks(config, "g"); err == nil {
		t.Error("watermarks of a super stream were made")
	}
	if got := rabbit.WatermarksOf(rabbit.Config{Partitions: 3}); got.Stream != "audit_logs_stream_watermarks" || got.Partitions != 0 {
		t.Errorf("they are on %q with %d partitions", got.Stream, got.Partitions)
	}
}
