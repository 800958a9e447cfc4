package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream/memory"
)

// TestRestore takes the database back to what it was, as the restore of a backup does.
func TestRestore_goesOnUnderANewName(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		o := newOutbox(t, db, outbox.Config{})
		m := memory.New(memory.Config{})
		q := openQueue(t, o, fast())
		service := startRelay(t, q, dial(m))
		write(t, db, o, records(1, 5)...)
		drained(t, o)
		producer := q.Producer()
		if err := service.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		// Everything since the beginning is forgotten.
		set := "last = 0, acknowledged = 0"
		if d.name == "postgres" { // finds out by itself
			set += ", epoch = 'timeline FFFFFFFF'"
		}
		if err := db.Exec("UPDATE audit_outbox_state SET " + set).Error; err != nil {
			t.Fatal(err)
		}
		if d.name != "postgres" {
			if err := o.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		q = openQueue(t, o, fast())
		startRelay(t, q, dial(m))
		write(t, db, o, records(6, 8)...)
		await.Until(t, "the records after it", func() bool { return len(m.Messages()) == 8 })
		wantIDs(t, m.Messages(), 8)
		if q.Producer() == producer {
			t.Errorf("the producer is still %s", producer)
		}
	})
}

func TestRefill_sendsARangeAgain(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
		o := newOutbox(t, db, outbox.Config{Now: func() time.Time { return now }})
		cfg := fast()
		cfg.Retention = time.Hour
		q := openQueue(t, o, cfg)
		for i := 1; i <= 40; i += 4 {
			write(t, db, o, records(i, i+3)...)
		}
		first := memory.New(memory.Config{})
		service := startRelay(t, q, dial(first))
		await.Until(t, "all to be confirmed", func() bool { return q.Acknowledged() == 40 })
		if err := service.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if s := stats(t, o); s.Kept != 40 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		r, err := o.Refill(t.Context(), 3, 22)
		if err != nil {
			t.Fatal(err)
		}
		m := memory.New(memory.Config{})
		config := quick()
		config.Batch = 7
		again, err := relay.New(r, dial(m), config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := again.Run(ctx); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
		messages := m.Messages()
		if len(messages) != 20 || messages[0].ID != "id-3" || messages[19].ID != "id-22" {
			t.Errorf("%d messages", len(messages))
		}
		for _, message := range messages {
			if sent, err := event.Decode(message.Payload); err != nil || sent.ProducerID != q.Producer() || sent.Seq == 0 {
				t.Fatalf("%+v, %v: want the producer and sequence that the record had", sent, err)
			}
		}
		for _, wrong := range [][2]uint64{{0, 3}, {5, 4}, {30, 41}} {
			if _, err := o.Refill(t.Context(), wrong[0], wrong[1]); !errors.Is(err, outbox.ErrRange) {
				t.Errorf("%v: %v, want ErrRange", wrong, err)
			}
		}
		now = now.Add(2 * time.Hour) // nobody else runs
		q = openQueue(t, o, cfg)
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		_, _ = q.Read(ctx, 40, 1) // waits in vain, and tidies up
		if s := stats(t, o); s.Kept != 0 {
			t.Errorf("%d records are kept for ever", s.Kept)
		}
	})
}

// TestRows_changedByHand has rows that somebody has deleted or changed.
func TestRows_changedByHand(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		o := newOutbox(t, db, outbox.Config{})
		write(t, db, o, records(1, 2)...)
		write(t, db, o, records(3, 4)...)
		write(t, db, o, records(5, 6)...)
		q := openQueue(t, o, fast())
		if got := readAll(t, q, 0); len(got) != 6 {
			t.Fatal(got)
		}
		for _, s := range []string{"DELETE FROM audit_outbox_queue WHERE last = 2", "UPDATE audit_outbox_queue SET body = 'not ours' WHERE last = 6"} {
			if err := db.Exec(s).Error; err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(readAll(t, q, 0), " "); got != "id-3 id-4 damaged-6" {
			t.Errorf("read %q", got)
		}
		if s := q.Stats(); s.Lost != 2 || s.Damaged != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("{\"log_id\":\"a\"}\n{\"log_id\":\"b\\n\"}\n"), 2)
	f.Add([]byte("\n"), 1)
	f.Add([]byte(""), 0)
	f.Fuzz(func(t *testing.T, body []byte, records int) {
		lines, ok := outbox.LinesOf(body, records)
		if ok && len(lines) != records {
			t.Fatalf("%d lines, want %d", len(lines), records)
		}
		for _, line := range lines {
			_ = outbox.IDOf(line)
		}
	})
}
