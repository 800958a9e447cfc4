package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// While the consumer is away, RabbitMQ removes the oldest segments, which nobody has read. The consumer says
// exactly which records are missing, to the operator and to the producer.
func TestCheckpoint_retentionRemovedUnread(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	rabbittest.Declare(t, config, rabbit.Limits{MaxBytes: 1 << 20, SegmentBytes: 200 << 10})
	b, notes := newBench(), &book{}
	b.config.Checkpoints, b.config.Watermarks, b.config.WatermarkInterval = notes, notes, time.Millisecond
	start := func() (c *consumer.Consumer, stop func()) {
		dial := func(ctx context.Context) (consumer.Source, error) {
			s, err := rabbit.NewSource(ctx, config, group, stream.SourceOptions{StartAt: c.StartAt})
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		c, err := consumer.New(dial, b.store, b.letters, b.config)
		if err != nil {
			t.Fatal(err)
		}
		return c, run(t, c)
	}
	appender, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer appender.Close()
	last := uint64(0)
	padding := strings.Repeat("x", 10<<10)
	send := func(n int) {
		t.Helper()
		var messages []stream.Message
		for range n {
			last++
			data, err := event.Encode(event.Record{
				LogID: fmt.Sprint(last), Timestamp: november, Action: event.ActionChange, ObjectType: "customer", ObjectID: "1", UserAgent: padding,
			})
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, stream.Message{ID: fmt.Sprint(last), Payload: event.Stamp(data, "p", last), Properties: map[string]string{"schema_version": "1"}})
		}
		if err := appender.Append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}

	send(3)
	_, stop := start()
	await.Until(t, "the first are done", func() bool { return notes.known().Indexed() == 3 })
	stop()

	look, err := rabbit.NewSource(t.Context(), config, "look", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	for bounds := (stream.Bounds{}); bounds.First < 10; { // the server removes when it likes
		if last > 10_000 {
			t.Fatal("the server removes nothing")
		}
		send(50)
		if bounds, err = look.Bounds(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	c, _ := start()
	await.Until(t, "the last is stored", func() bool { return notes.known().Seen == last })
	there := make(map[string]bool)
	for _, id := range b.store.ids() {
		there[id] = true
	}
	first := uint64(4)
	for !there[fmt.Sprint(first)] {
		first++
	}
	if d := cmp.Diff([]checkpoint.Range{{From: 4, To: first - 1}}, notes.known().Missing); d != "" || first < 10 {
		t.Errorf("what is left begins with %d, missing (-want +got)\n%s", first, d)
	}
	if s := c.Stats(); s.SequenceGaps != 1 || uint64(s.MissingRecords) != first-4 {
		t.Errorf("%d gaps with %d records, want 1 with %d", s.SequenceGaps, s.MissingRecords, first-4)
	}
	if want := int(last-first) + 1 + 3; len(there) != want {
		t.Errorf("%d records, want %d", len(there), want)
	}
	t.Logf("%d records, of which %d to %d were removed before they were read", last, 4, first-1)
}
