package streamtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gormtrail/audit/stream"
)

func testOrder(_ *testing.T, b *bundle) {
	const n = 3000
	p := b.publisher("order")
	s := b.source("group", stream.SourceOptions{})
	b.publish(p, numbered(1, n)...)
	for i, m := range b.read(s, n) {
		seq := uint64(i + 1)
		want := numbered(seq, seq)[0]
		if m.ID != want.ID || string(m.Payload) != string(want.Payload) || m.Properties["schema_version"] != "1" {
			b.Fatalf("message %d is %q %s %v, want %q %s", seq, m.ID, m.Payload, m.Properties, want.ID, want.Payload)
		}
	}
}

func testConfirms(_ *testing.T, b *bundle) {
	p := b.publisher("confirms")
	if err := p.Err(); err != nil {
		b.Errorf("Err of a new publisher: %v", err)
	}
	for first := uint64(1); first < 1000; first += 100 {
		if err := p.Publish(b.context(), numbered(first, first+99)); err != nil {
			b.Fatal(err)
		}
	}
	b.confirmed(p, 1000)
}

func testResend(_ *testing.T, b *bundle) {
	first := b.publisher("resend")
	b.publish(first, numbered(1, 10)...)
	b.close(first)
	// In doubt, everything is sent again, and then on.
	second := b.publisher("resend")
	b.publish(second, numbered(4, 15)...)
	s := b.source("group", stream.SourceOptions{})
	b.publish(second, numbered(16, 16)...)
	b.wantIDs(b.read(s, 16), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
}

func testNoName(_ *testing.T, b *bundle) {
	for range 2 {
		p := b.publisher("")
		b.publish(p, numbered(1, 3)...)
		b.close(p)
	}
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 6), "1 2 3 1 2 3")
}

func testNames(_ *testing.T, b *bundle) {
	one, two := b.publisher("one"), b.publisher("two")
	b.publish(one, numbered(1, 3)...)
	b.publish(two, numbered(1, 2)...)
	b.publish(one, numbered(4, 4)...)
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 6), "1 2 3 1 2 4")
}

func testSequenceGaps(_ *testing.T, b *bundle) {
	p := b.publisher("gaps")
	messages := append(numbered(2, 3), numbered(7, 7)...)
	messages = append(messages, numbered(1000, 1001)...)
	b.publish(p, messages...)
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 5), "2 3 7 1000 1001")
}

func testSequenceOrder(_ *testing.T, b *bundle) {
	p := b.publisher("sequence")
	b.publish(p, numbered(1, 5)...)
	for name, messages := range map[string][]stream.Message{
		"repeated":        numbered(5, 6),
		"lower":           numbered(2, 2),
		"lower in a call": append(numbered(7, 8), numbered(6, 6)...),
		"0":               numbered(0, 0),
	} {
		if err := p.Publish(b.context(), messages); !errors.Is(err, stream.ErrOrder) {
			b.Errorf("%s: got the error %v, want stream.ErrOrder", name, err)
		}
	}
	b.publish(p, numbered(6, 6)...)
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 6), "1 2 3 4 5 6")
}

// testBackPressure publishes far more than anybody buffers while nobody reads, then reads it all.
func testBackPressure(_ *testing.T, b *bundle) {
	const n, each = 6000, 2000
	p := b.publisher("pressure")
	s := b.source("group", stream.SourceOptions{Buffer: 10})
	b.wantRead(s, p)
	filler := strings.Repeat("x", each)
	for first := uint64(2); first <= n; first += 500 {
		messages := numbered(first, min(first+499, n))
		for i := range messages {
			messages[i].Payload = fmt.Appendf(nil, `{"filler":%q}`, filler)
		}
		b.publish(p, messages...)
	}
	for i, m := range b.read(s, n-1) {
		if want := fmt.Sprintf("id-%d", i+2); m.ID != want {
			b.Fatalf("message %d is %q, want %q", i, m.ID, want)
		}
	}
}

// wantRead publishes message 1 and reads it.
func (b *bundle) wantRead(s stream.Source, p stream.Publisher) {
	b.Helper()
	b.publish(p, numbered(1, 1)...)
	b.wantIDs(b.read(s, 1), "1")
}

func testPublisherClosed(_ *testing.T, b *bundle) {
	p := b.publisher("closed")
	b.publish(p, numbered(1, 2)...)
	b.close(p)
	b.close(p)
	select {
	case <-p.Done():
	default:
		b.Error("Done is open after Close")
	}
	b.wantClosed("Err after Close", p.Err())
	b.wantClosed("Publish after Close", p.Publish(b.context(), numbered(3, 3)))
}

func testTooLarge(_ *testing.T, b *bundle) {
	p := b.publisher("large")
	messages := numbered(1, 5)
	messages[2].Payload = make([]byte, b.backend.TooLarge)
	err := p.Publish(b.context(), messages)
	var tooLarge *stream.TooLargeError
	if !errors.As(err, &tooLarge) || !errors.Is(err, stream.ErrTooLarge) {
		b.Fatalf("got the error %v, want a *stream.TooLargeError", err)
	}
	if tooLarge.Seq != 3 || tooLarge.Size != b.backend.TooLarge || tooLarge.Limit <= 0 {
		b.Errorf("got %+v, want Seq 3 and Size %d", tooLarge, b.backend.TooLarge)
	}
	b.publish(p, messages[3:]...)
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 4), "1 2 4 5")
}

func testDialCancel(_ *testing.T, b *bundle) {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if p, err := b.backend.Publisher(ctx, "cancelled"); err == nil {
		b.close(p)
		b.Error("Publisher with a cancelled context: no error")
	}
	if s, err := b.backend.Source(ctx, "cancelled", stream.SourceOptions{}); err == nil {
		b.close(s)
		b.Error("Source with a cancelled context: no error")
	}
}

func testForms(_ *testing.T, b *bundle) {
	sent := []stream.Message{
		{ID: "utf-8 ä \x00", Seq: 1, Payload: []byte("not json \x00\xff")},
		{Seq: 2, Payload: []byte{}},
		{ID: strings.Repeat("i", 512), Seq: 3, Payload: []byte(strings.Repeat("p", 256<<10)), Properties: map[string]string{"a": "", "": "b", "reason": "ä\n"}},
	}
	b.publish(b.publisher("forms"), sent...)
	for i, got := range b.read(b.source("group", stream.SourceOptions{}), len(sent)) {
		want := sent[i]
		if got.ID != want.ID || string(got.Payload) != string(want.Payload) || fmt.Sprint(got.Properties) != fmt.Sprint(want.Properties) {
			b.Errorf("message %d: got id %.40q, %d bytes, properties %q\nwant id %.40q, %d bytes, properties %q",
				i, got.ID, len(got.Payload), got.Properties, want.ID, len(want.Payload), want.Properties)
		}
	}
}
