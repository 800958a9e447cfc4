package rabbit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// TestSuperPublisher_tooLargeInOnePartition: the broker's own limit is only found out when the other
// partitions have what came after the message. It and those behind it count as not handed over, are
// published again, and are in their partitions once.
func TestSuperPublisher_tooLargeInOnePartition(t *testing.T) {
	t.Parallel()
	const partitions = 3
	streams := make([]*memory.Stream, partitions)
	ends := make([]stream.Publisher, partitions)
	for i := range streams {
		streams[i] = memory.New(memory.Config{MaxMessage: 100})
		p, err := streams[i].Publisher(t.Context(), "name")
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = p
	}
	p := newSuperPublisher(ends, func(m stream.Message) int { return int(m.Seq % partitions) })
	defer p.Close()
	var batch []stream.Message
	for seq := uint64(1); seq <= 12; seq++ {
		payload := []byte("{}")
		if seq == 4 || seq == 5 || seq == 10 {
			payload = []byte(strings.Repeat("x", 101))
		}
		batch = append(batch, stream.Message{ID: fmt.Sprint(seq), Seq: seq, Payload: payload})
	}
	var refused []uint64
	for len(batch) > 0 {
		err := p.Publish(t.Context(), batch)
		var tooLarge *stream.TooLargeError
		if !errors.As(err, &tooLarge) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		refused = append(refused, tooLarge.Seq)
		for batch[0].Seq <= tooLarge.Seq {
			batch = batch[1:]
		}
	}
	if fmt.Sprint(refused) != "[4 5 10]" {
		t.Errorf("refused %v, want [4 5 10]", refused)
	}
	for last := uint64(0); last < 12; last = <-p.Confirmed() {
	}
	for i, want := range []string{"3 6 9 12", "1 7", "2 8 11"} {
		var got []string
		for _, m := range streams[i].Messages() {
			got = append(got, m.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("partition %d has %v, want %s", i, got, want)
		}
	}
}

// TestSuperPublisher_confirmsUpToTheLowest: what a slow partition has not confirmed holds back the rest.
func TestSuperPublisher_confirmsUpToTheLowest(t *testing.T) {
	t.Parallel()
	slow, quick := memory.New(memory.Config{}), memory.New(memory.Config{})
	var ends []stream.Publisher
	for _, s := range []*memory.Stream{slow, quick} {
		p, err := s.Publisher(t.Context(), "name")
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, p)
	}
	p := newSuperPublisher(ends, func(m stream.Message) int { return int(m.Seq+1) % 2 })
	defer p.Close()
	slow.HoldConfirms(true)
	publish := func(from, to uint64) {
		t.Helper()
		for seq := from; seq <= to; seq++ {
			if err := p.Publish(t.Context(), []stream.Message{{Seq: seq, Payload: []byte("{}")}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1, 10) // odd ones are in the slow partition
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	select {
	case upTo := <-p.Confirmed():
		t.Errorf("confirmed %d, though 1 is not", upTo)
	case <-ctx.Done():
	}
	slow.HoldConfirms(false)
	for last := uint64(0); last < 10; last = <-p.Confirmed() {
	}
	slow.Disconnect()
	<-p.Done()
	if !errors.Is(p.Err(), stream.ErrClosed) {
		t.Errorf("one partition lost: %v, want stream.ErrClosed", p.Err())
	}
}
