package streamtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gormtrail/audit/stream"
)

func testOffsets(_ *testing.T, b *bundle) {
	p := b.publisher("offsets")
	s := b.source("group", stream.SourceOptions{})
	last := int64(-1)
	for first := uint64(1); first <= 50; first += 10 {
		b.publish(p, numbered(first, first+9)...)
		for _, m := range b.read(s, 10) {
			if m.Offset <= last {
				b.Fatalf("offset %d after %d", m.Offset, last)
			}
			last = m.Offset
		}
		b.commit(s, last)
		b.waitCommitted(s, last)
	}
	if last < 50 {
		b.Errorf("the last of 50 messages after 4 commits has the offset %d, so that commits took none: the suite would not see holes", last)
	}
}

func (b *bundle) commit(s stream.Source, offset int64) {
	b.Helper()
	if err := s.Commit(b.context(), offset); err != nil {
		b.Fatalf("Commit(%d): %v", offset, err)
	}
}

// waitCommitted waits until the server knows the committed offset: Commit is not acknowledged.
func (b *bundle) waitCommitted(s stream.Source, want int64) {
	b.Helper()
	inspector, ok := s.(stream.Inspector)
	if !ok {
		b.Fatalf("%T is no stream.Inspector", s)
	}
	b.wait("the committed offset", func() bool {
		got, ok, err := inspector.Committed(b.context())
		if err != nil {
			b.Fatalf("Committed: %v", err)
		}
		return ok && got == want
	})
}

// wait asks until it is true.
func (b *bundle) wait(what string, ask func() bool) {
	b.Helper()
	ctx := b.context()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Fatalf("waiting for %s: %v", what, ctx.Err())
		}
	}
}

func testResume(_ *testing.T, b *bundle) {
	p := b.publisher("resume")
	b.publish(p, numbered(1, 10)...)
	first := b.source("group", stream.SourceOptions{})
	messages := b.read(first, 7)
	b.commit(first, messages[4].Offset)
	b.waitCommitted(first, messages[4].Offset)
	b.close(first)
	second := b.source("group", stream.SourceOptions{})
	b.wantIDs(b.read(second, 5), "6 7 8 9 10")
	b.publish(p, numbered(11, 11)...)
	b.wantIDs(b.read(second, 1), "11")
}

func testCommitBack(_ *testing.T, b *bundle) {
	b.publish(b.publisher("back"), numbered(1, 10)...)
	s := b.source("group", stream.SourceOptions{})
	messages := b.read(s, 10)
	b.commit(s, messages[7].Offset)
	b.commit(s, messages[2].Offset)
	b.commit(s, messages[8].Offset)
	b.waitCommitted(s, messages[8].Offset)
	b.close(s)
	b.wantIDs(b.read(b.source("group", stream.SourceOptions{}), 1), "10")
	if err := s.Commit(b.context(), 1); !errors.Is(err, stream.ErrClosed) {
		b.Errorf("Commit after Close: got the error %v, want stream.ErrClosed", err)
	}
}

func testGroups(_ *testing.T, b *bundle) {
	b.publish(b.publisher("groups"), numbered(1, 3)...)
	one, two := b.source("one", stream.SourceOptions{}), b.source("two", stream.SourceOptions{})
	messages := b.read(one, 3)
	b.wantIDs(messages, "1 2 3")
	b.commit(one, messages[2].Offset)
	b.waitCommitted(one, messages[2].Offset)
	b.wantIDs(b.read(two, 3), "1 2 3")
	if _, ok, err := two.(stream.Inspector).Committed(b.context()); ok || err != nil {
		b.Errorf("Committed of another group: %v, %v; want false", ok, err)
	}
}

func testStartAt(_ *testing.T, b *bundle) {
	b.publish(b.publisher("start"), numbered(1, 10)...)
	s := b.source("group", stream.SourceOptions{})
	messages := b.read(s, 10)
	b.commit(s, messages[8].Offset)
	b.waitCommitted(s, messages[8].Offset)
	b.close(s)
	at := func(offset int64, ok bool, err error) stream.SourceOptions {
		return stream.SourceOptions{StartAt: func(context.Context) (int64, bool, error) { return offset, ok, err }}
	}
	b.wantIDs(b.read(b.source("group", at(messages[3].Offset, true, nil)), 2), "4 5")
	b.wantIDs(b.read(b.source("group", at(0, false, nil)), 1), "10")
	b.wantIDs(b.read(b.source("group", at(0, true, nil)), 1), "1")
	broken := errors.New("checkpoint is gone")
	if s, err := b.backend.Source(b.context(), "group", at(0, false, broken)); !errors.Is(err, broken) {
		b.Errorf("StartAt with an error: got %v, want that error", err)
		if err == nil {
			b.close(s)
		}
	}
}

func testInspector(_ *testing.T, b *bundle) {
	s := b.source("group", stream.SourceOptions{})
	inspector, ok := s.(stream.Inspector)
	if !ok {
		b.Fatalf("%T is no stream.Inspector", s)
	}
	if _, ok, err := inspector.Committed(b.context()); ok || err != nil {
		b.Errorf("Committed of a new group: %v, %v; want false", ok, err)
	}
	bounds, err := inspector.Bounds(b.context())
	if err != nil || !bounds.Empty {
		b.Errorf("Bounds of an empty stream: %+v, %v; want Empty", bounds, err)
	}
	b.publish(b.publisher("inspector"), numbered(1, 10)...)
	messages := b.read(s, 10)
	b.wait("the bounds", func() bool {
		bounds, err = inspector.Bounds(b.context())
		if err != nil {
			b.Fatalf("Bounds: %v", err)
		}
		return !bounds.Empty
	})
	if bounds.First != messages[0].Offset || bounds.Last < bounds.First || bounds.Last > messages[9].Offset {
		b.Errorf("Bounds: %+v, want from %d to at most %d", bounds, messages[0].Offset, messages[9].Offset)
	}
}

func testReadWaits(_ *testing.T, b *bundle) {
	s := b.source("group", stream.SourceOptions{})
	type answer struct {
		messages []stream.Message
		err      error
	}
	answers := make(chan answer, 1)
	ctx := b.context()
	go func() {
		messages, err := s.Read(ctx, 10)
		answers <- answer{messages, err}
	}()
	b.publish(b.publisher("waits"), numbered(1, 1)...)
	got := <-answers
	if got.err != nil {
		b.Fatal(got.err)
	}
	b.wantIDs(got.messages, "1")
}

func testCommitWhileReading(_ *testing.T, b *bundle) {
	const n = 200
	p := b.publisher("both")
	s := b.source("group", stream.SourceOptions{})
	done := make(chan int64, n)
	ended := make(chan error, 1)
	ctx := b.context()
	go func() {
		for read := 0; read < n; {
			messages, err := s.Read(ctx, 7)
			if err != nil {
				ended <- err
				return
			}
			read += len(messages)
			done <- messages[len(messages)-1].Offset
		}
		close(done)
	}()
	for first := uint64(1); first <= n; first += 10 {
		b.publish(p, numbered(first, first+9)...)
	}
	var last int64
	for more := true; more; {
		select {
		case offset, ok := <-done:
			if more = ok; ok {
				last = offset
				b.commit(s, last)
			}
		case err := <-ended:
			b.Fatal(err)
		}
	}
	b.waitCommitted(s, last)
}

func testReadLimit(_ *testing.T, b *bundle) {
	b.publish(b.publisher("limit"), numbered(1, 10)...)
	s := b.source("group", stream.SourceOptions{})
	for _, want := range []string{"1", "2", "3"} {
		messages, err := s.Read(b.context(), 1)
		if err != nil {
			b.Fatal(err)
		}
		b.wantIDs(messages, want)
	}
	if _, err := s.Read(b.context(), 0); err == nil {
		b.Error("Read of at most 0 messages: no error")
	}
	b.wantIDs(b.read(s, 7), "4 5 6 7 8 9 10")
}

func testReadCancel(_ *testing.T, b *bundle) {
	s := b.source("group", stream.SourceOptions{})
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if _, err := s.Read(ctx, 1); !errors.Is(err, context.Canceled) {
		b.Errorf("Read with a cancelled context: got %v, want context.Canceled", err)
	}
	ctx, cancel = context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(ctx, 1)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		b.Errorf("Read while its context is cancelled: got %v, want context.Canceled", err)
	}
	b.publish(b.publisher("cancel"), numbered(1, 2)...)
	b.wantIDs(b.read(s, 2), "1 2")
}

func testSourceClosed(_ *testing.T, b *bundle) {
	b.publish(b.publisher("closed"), numbered(1, 100)...)
	s := b.source("group", stream.SourceOptions{})
	b.wantIDs(b.read(s, 1), "1")
	b.close(s)
	b.close(s)
	_, err := s.Read(b.context(), 1)
	b.wantClosed("Read after Close", err)
	b.wantClosed("Commit after Close", s.Commit(b.context(), 0))
}

func testCloseWhileReading(_ *testing.T, b *bundle) {
	s := b.source("group", stream.SourceOptions{})
	ended := make(chan error, 1)
	ctx := b.context()
	go func() {
		_, err := s.Read(ctx, 1)
		ended <- err
	}()
	b.close(s)
	b.wantClosed("Read while closing", <-ended)
}

func testSingleActive(_ *testing.T, b *bundle) {
	p := b.publisher("active")
	options := stream.SourceOptions{SingleActive: true}
	one := b.source("group", options)
	b.publish(p, numbered(1, 5)...)
	messages := b.read(one, 5)
	b.wantIDs(messages, "1 2 3 4 5")

	two := b.source("group", options)
	answers := make(chan []stream.Message, 1)
	ctx := b.context()
	go func() {
		defer close(answers)
		if messages, err := two.Read(ctx, 1); err == nil {
			answers <- messages
		}
	}()
	b.publish(p, numbered(6, 6)...)
	messages = b.read(one, 1)
	b.wantIDs(messages, "6")
	select {
	case messages := <-answers:
		b.Fatalf("a source that is not the active one has read %s", ids(messages))
	default:
	}
	b.commit(one, messages[0].Offset)
	b.waitCommitted(one, messages[0].Offset)
	b.close(one)
	b.publish(p, numbered(7, 7)...)
	b.wantIDs(<-answers, "7")
}
