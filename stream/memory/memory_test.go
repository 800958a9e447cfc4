package memory_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
	"github.com/gormtrail/audit/stream/streamtest"
)

var (
	_ stream.Publisher = (*memory.Publisher)(nil)
	_ stream.Source    = (*memory.Source)(nil)
	_ stream.Inspector = (*memory.Source)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	streamtest.Run(t, func(*testing.T) streamtest.Backend {
		s := memory.New(memory.Config{})
		return streamtest.Backend{
			Publisher: func(ctx context.Context, name string) (stream.Publisher, error) {
				p, err := s.Publisher(ctx, name)
				if err != nil {
					return nil, err
				}
				return p, nil
			},
			Source: func(ctx context.Context, group string, o stream.SourceOptions) (stream.Source, error) {
				source, err := s.Source(ctx, group, o)
				if err != nil {
					return nil, err
				}
				return source, nil
			},
			TooLarge: memory.DefaultMaxMessage + 1,
		}
	})
}

func publish(t *testing.T, p *memory.Publisher, seqs ...uint64) {
	t.Helper()
	for _, seq := range seqs {
		if err := p.Publish(t.Context(), []stream.Message{{Seq: seq, Payload: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHoldConfirms_storesWithoutConfirming(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{})
	p, err := s.Publisher(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	s.HoldConfirms(true)
	publish(t, p, 1, 2)
	select {
	case seq := <-p.Confirmed():
		t.Fatalf("confirmed %d", seq)
	default:
	}
	if n := len(s.Messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	s.HoldConfirms(false)
	if seq := <-p.Confirmed(); seq != 2 {
		t.Errorf("confirmed %d, want 2", seq)
	}
}

func TestSwallow_storesNothing(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{})
	p, err := s.Publisher(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, p, 1)
	<-p.Confirmed()
	s.Swallow(true)
	publish(t, p, 2)
	s.Swallow(false)
	publish(t, p, 3)
	select {
	case seq := <-p.Confirmed():
		t.Errorf("confirmed %d", seq)
	default:
	}
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestDisconnect_failsAllEnds(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{})
	p, err := s.Publisher(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	source, err := s.Source(t.Context(), "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	<-p.Done()
	if !errors.Is(p.Err(), stream.ErrClosed) {
		t.Errorf("publisher: %v, want stream.ErrClosed", p.Err())
	}
	if _, err := source.Read(t.Context(), 1); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("source: %v, want stream.ErrClosed", err)
	}
	refusal := errors.New("down")
	s.Refuse(refusal)
	if _, err := s.Publisher(t.Context(), "name"); !errors.Is(err, refusal) {
		t.Errorf("refused: %v, want %v", err, refusal)
	}
}

func TestTruncate_removesMessagesAndOffsets(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{})
	p, err := s.Publisher(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, p, 1, 2, 3, 4)
	source, err := s.Source(t.Context(), "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Commit(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.Truncate(2)
	if _, ok, _ := source.Committed(t.Context()); ok {
		t.Error("the committed offset is still there")
	}
	bounds, err := source.Bounds(t.Context())
	if err != nil || bounds.First != 2 {
		t.Errorf("bounds %+v, %v; want from 2", bounds, err)
	}
	messages, err := source.Read(t.Context(), 10)
	if err != nil || len(messages) != 2 || messages[0].Offset != 2 {
		t.Errorf("read %v, %v; want 2 messages from offset 2", messages, err)
	}
}
