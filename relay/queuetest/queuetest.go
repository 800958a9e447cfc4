// Package queuetest has the tests that every relay.Queue must pass: the spool, the outbox, and queues
// from elsewhere.
package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// Queue is a queue that can be closed.
type Queue interface {
	relay.Queue
	io.Closer
}

// Backend is a queue under test. Each has one of its own.
type Backend struct {
	// Open opens the queue, again after Close with what is in it.
	Open func(t testing.TB) Queue
	// Write puts records into the queue as one transaction. Records come in the order of the calls.
	Write func(t testing.TB, records ...event.Record)
	// Quarantined gives how many records were put aside.
	Quarantined func(t testing.TB) int
}

// Run runs all tests. backend makes an empty queue.
func Run(t *testing.T, backend func(t *testing.T) Backend) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b Backend)
	}{
		{"sequences have no gap, and the records are whole", sequences},
		{"what was read comes again, the same", again},
		{"Read waits for the first, as long as its context lives", waits},
		{"what is acknowledged stays so after Close", reopen},
		{"only what is there can be acknowledged", acknowledgeTooMuch},
		{"what cannot be sent is put aside", quarantine},
		{"a relay loses and doubles nothing, whatever the stream does", faults},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, backend(t))
		})
	}
}

// open opens the queue until the test ends.
func open(t *testing.T, b Backend) Queue {
	t.Helper()
	q := b.Open(t)
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func record(i int) event.Record {
	return event.Record{
		LogID: fmt.Sprintf("id-%d", i), Timestamp: time.Date(2026, 11, 24, 12, 0, 0, i, time.UTC), Action: event.ActionChange, ObjectType: "customer",
		ObjectRepr: "it's a \\ \"note\"\n – ü 😀", Extra: map[string]any{"n": i},
	}
}

func records(from, to int) []event.Record {
	var all []event.Record
	for i := from; i <= to; i++ {
		all = append(all, record(i))
	}
	return all
}

// read reads the messages behind after, up to and including the sequence upTo.
func read(t testing.TB, q relay.Queue, after, upTo uint64, limit int) []stream.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []stream.Message
	for after < upTo {
		messages, err := q.Read(ctx, after, limit)
		if err != nil {
			t.Fatalf("read behind %d: %v", after, err)
		}
		if len(messages) == 0 || len(messages) > limit {
			t.Fatalf("%d messages, want 1 to %d", len(messages), limit)
		}
		for _, m := range messages {
			if m.Seq != after+1 {
				t.Fatalf("sequence %d after %d", m.Seq, after)
			}
			after = m.Seq
		}
		all = append(all, messages...)
	}
	return all
}

func last(t testing.TB, q relay.Queue, want uint64) {
	t.Helper()
	got, err := q.Last(t.Context())
	if err != nil || got != want {
		t.Errorf("the last sequence is %d (%v), want %d", got, err, want)
	}
}

func sequences(t *testing.T, b Backend) {
	q := open(t, b)
	last(t, q, 0)
	if q.Acknowledged() != 0 || q.Producer() == "" {
		t.Errorf("a new queue of %q has %d acknowledged", q.Producer(), q.Acknowledged())
	}
	b.Write(t, records(1, 3)...)
	b.Write(t, records(4, 4)...)
	b.Write(t, records(5, 1300)...)
	last(t, q, 1300)
	for i, m := range read(t, q, 0, 1300, 7) {
		want := record(i + 1)
		if m.ID != want.LogID || m.Properties["schema_version"] != "1" {
			t.Fatalf("message %d is %+v", i, m)
		}
		r, err := event.Decode(m.Payload)
		if err != nil || r.LogID != want.LogID || r.ObjectRepr != want.ObjectRepr || r.ProducerID != q.Producer() || r.Seq != m.Seq {
			t.Fatalf("record %d is %+v, %v", i, r, err)
		}
	}
}

func again(t *testing.T, b Backend) {
	q := open(t, b)
	b.Write(t, records(1, 50)...)
	first := read(t, q, 0, 50, 20)
	for _, after := range []uint64{0, 10, 49} {
		for i, m := range read(t, q, after, 50, 1000) {
			was := first[after+uint64(i)]
			if m.ID != was.ID || m.Seq != was.Seq || !bytes.Equal(m.Payload, was.Payload) {
				t.Fatalf("%d is %s, and was %s", m.Seq, m.Payload, was.Payload)
			}
		}
	}
}

func waits(t *testing.T, b Backend) {
	q := open(t, b)
	b.Write(t, record(1))
	read(t, q, 0, 1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if messages, err := q.Read(ctx, 1, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an empty queue gives %v, %v", messages, err)
	}
	got := make(chan error, 1)
	go func() {
		messages, err := q.Read(t.Context(), 1, 10)
		if err == nil && (len(messages) != 1 || messages[0].ID != "id-2") {
			err = fmt.Errorf("read %v", messages)
		}
		got <- err
	}()
	b.Write(t, record(2))
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("Read does not see what was written")
	}
}

func reopen(t *testing.T, b Backend) {
	q := b.Open(t)
	b.Write(t, records(1, 30)...)
	read(t, q, 0, 30, 100)
	if err := q.Acknowledge(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
	producer := q.Producer()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	q = open(t, b)
	if q.Producer() != producer || q.Acknowledged() != 12 {
		t.Errorf("%d of %q acknowledged, was 12 of %q", q.Acknowledged(), q.Producer(), producer)
	}
	b.Write(t, records(31, 35)...)
	last(t, q, 35)
	for i, m := range read(t, q, 12, 35, 100) {
		if want := fmt.Sprintf("id-%d", 13+i); m.ID != want {
			t.Fatalf("%d is %s, want %s", m.Seq, m.ID, want)
		}
	}
}

func acknowledgeTooMuch(t *testing.T, b Backend) {
	q := open(t, b)
	b.Write(t, records(1, 3)...)
	read(t, q, 0, 3, 10)
	if err := q.Acknowledge(t.Context(), 4); err == nil {
		t.Error("4 of 3 records were acknowledged")
	}
	for _, seq := range []uint64{3, 2} { // a lower one changes nothing
		if err := q.Acknowledge(t.Context(), seq); err != nil || q.Acknowledged() != 3 {
			t.Errorf("%d after acknowledging %d: %v", q.Acknowledged(), seq, err)
		}
	}
}

func quarantine(t *testing.T, b Backend) {
	q := open(t, b)
	b.Write(t, records(1, 3)...)
	m := read(t, q, 0, 3, 10)[1]
	for range 2 { // after a crash it comes again
		if err := q.Quarantine(t.Context(), m, errors.New("too large")); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Quarantined(t); n != 1 {
		t.Errorf("%d records were put aside, want 1", n)
	}
}

func faults(t *testing.T, b Backend) {
	const n, each = 1500, 5
	m := memory.New(memory.Config{})
	q := open(t, b)
	r, err := relay.New(q, func(ctx context.Context, name string) (stream.Publisher, error) {
		p, err := m.Publisher(ctx, name)
		if err != nil {
			return nil, err
		}
		return p, nil
	}, relay.Config{
		MinPause: time.Millisecond, MaxPause: 10 * time.Millisecond, ConfirmTimeout: 50 * time.Millisecond, Window: 50, Batch: 20,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) }) // always nil
	defer running.Wait()
	defer stop()
	quit := make(chan struct{})
	var breaking sync.WaitGroup
	breaking.Go(func() { breakStream(m, quit) })
	for i := 1; i <= n; i += each {
		b.Write(t, records(i, i+each-1)...)
	}
	close(quit)
	breaking.Wait()
	heal(m)
	flush, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := r.Flush(flush); err != nil {
		t.Fatalf("%v; %+v", err, r.Stats())
	}
	messages := m.Messages()
	for i, m := range messages {
		if want := fmt.Sprintf("id-%d", i+1); m.ID != want {
			t.Fatalf("message %d of %d is %s, want %s", i, len(messages), m.ID, want)
		}
	}
	if len(messages) != n {
		t.Fatalf("%d messages, want %d", len(messages), n)
	}
}

// breakStream makes faults of the stream in random order.
func breakStream(m *memory.Stream, quit <-chan struct{}) {
	for {
		switch rand.IntN(5) {
		case 0:
			m.Disconnect()
		case 1:
			m.HoldConfirms(true)
		case 2:
			m.Refuse(errors.New("refused"))
			m.Disconnect()
		case 3:
			heal(m)
		case 4:
			m.Swallow(true)
		}
		pause := time.NewTimer(rand.N(8 * time.Millisecond))
		select {
		case <-pause.C:
		case <-quit:
			pause.Stop()
			return
		}
	}
}

func heal(m *memory.Stream) {
	m.Swallow(false)
	m.HoldConfirms(false)
	m.Refuse(nil)
}
