package consumer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gormtrail/audit/stream"
)

// messagesAt gives messages with these offsets.
func messagesAt(offsets ...int64) (all []stream.Message) {
	for _, offset := range offsets {
		all = append(all, stream.Message{Offset: offset, Payload: []byte("12345")})
	}
	return all
}

func batchOf(messages []stream.Message) *batch {
	return newBatch(messages)
}

// TestWindow_random settles batches in random order, by parts, and compares with what a naive one would say.
func TestWindow_random(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		w := newWindow(1000, 1<<20)
		var batches []*batch
		offset := int64(-1)
		for range 1 + random.IntN(8) {
			var offsets []int64
			for range 1 + random.IntN(5) {
				offset += 1 + random.Int64N(3) // commits take offsets as well
				offsets = append(offsets, offset)
			}
			b := batchOf(messagesAt(offsets...))
			batches = append(batches, b)
			w.add(b)
		}
		settled := make([]int, len(batches))
		marks, last := 0, int64(-1)
		for held := 1; held > 0; held, _ = w.size() {
			i := random.IntN(len(batches))
			settled[i] = min(settled[i]+random.IntN(4), len(batches[i].messages))
			w.settle(batches[i], settled[i])
			want, n, inMemory := int64(-1), 0, 0
			hole := false
			for j, b := range batches {
				if !hole && settled[j] > 0 {
					want = b.messages[settled[j]-1].Offset
					n += settled[j]
				}
				if hole = hole || settled[j] < len(b.messages); hole {
					inMemory += len(b.messages)
				}
			}
			got, more := w.settledNow()
			if marks += len(more); len(more) > 0 {
				last = got
			}
			if held, bytes := w.size(); last != want || marks != n || held != inMemory || bytes != 5*inMemory {
				t.Fatalf("settled %v: offset %d with %d marks, %d held, %d bytes; want %d, %d, %d, %d", settled, last, marks, held, bytes, want, n, inMemory, 5*inMemory)
			}
		}
	}
}

func TestWindow_room(t *testing.T) {
	t.Parallel()
	w := newWindow(3, 20)
	first := batchOf(messagesAt(1, 2))
	w.add(first)
	if n := w.room(t.Context()); n != 1 {
		t.Errorf("room for %d, want 1", n)
	}
	large := batchOf([]stream.Message{{Offset: 3, Payload: make([]byte, 20)}})
	w.add(large)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n := w.room(ctx); n != 0 {
		t.Errorf("room for %d, want none", n)
	}
	rooms := make(chan int)
	go func() { rooms <- w.room(t.Context()) }()
	w.settle(first, 2)
	w.settledNow()
	w.settle(large, 1)
	w.settledNow()
	if n := <-rooms; n < 1 {
		t.Errorf("room for %d", n)
	}
	if n := w.room(t.Context()); n != 3 {
		t.Errorf("room for %d, want 3", n)
	}
}

func TestGate_growsByOne_andHalves(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxInFlight: 8, MinBackoff: time.Nanosecond, MaxBackoff: 2 * time.Nanosecond})
	fill := func(limit int) {
		t.Helper()
		for range limit {
			if !g.enter(t.Context()) {
				t.Fatal("no place")
			}
		}
	}
	check := func(want int) {
		t.Helper()
		if limit, busy := g.now(); limit != want || busy != 0 {
			t.Fatalf("limit %d with %d busy, want %d and 0", limit, busy, want)
		}
	}
	check(2)
	good := func(limit int) { // growAfter good writes, all while every place is taken
		t.Helper()
		fill(limit)
		for range growAfter - 1 {
			g.leave(fine)
			fill(1)
		}
		g.leave(fine)
		for range limit - 1 {
			g.leave(fine)
		}
	}
	good(2)
	check(3)
	for limit := 3; limit < 8; limit++ {
		good(limit)
	}
	check(8)
	good(8)
	check(8)
	for range 5 * growAfter { // with one place taken, nothing is known of more
		fill(1)
		g.leave(fine)
	}
	for _, want := range []int{4, 2, 1, 1} {
		fill(1)
		g.leave(overload)
		check(want)
	}
	for range 3 * growAfter {
		fill(1)
		g.leave(fine)
	}
	if limit, _ := g.now(); limit < 2 {
		t.Errorf("limit %d after the overload is over", limit)
	}
	fill(1)
	g.leave(hopeless)
	check(1)
}

func TestGate_pauseAndEnd(t *testing.T) {
	t.Parallel()
	g := newGate(Config{MaxInFlight: 2, MinBackoff: time.Hour, MaxBackoff: 2 * time.Hour})
	if !g.enter(t.Context()) {
		t.Fatal("no place")
	}
	g.leave(overload)
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan bool)
	go func() { entered <- g.enter(ctx) }()
	cancel()
	if <-entered {
		t.Error("let through in the pause")
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	type step struct {
		good, bad int
		again     bool
		held      bool
		first     bool
	}
	for name, steps := range map[string][]step{
		"too few to judge":              {{0, 99, false, false, false}},
		"a hundredth is enough":         {{0, 99, false, false, false}, {0, 1, false, true, true}},
		"half is not more than half":    {{100, 100, false, false, false}},
		"more than half":                {{99, 101, false, true, true}},
		"a large batch of its own":      {{200, 0, false, false, false}, {100, 900, false, true, true}},
		"a small batch after good ones": {{200, 0, false, false, false}, {0, 100, false, false, false}, {0, 1, false, true, true}},
		"again and again, then mended": {
			{0, 500, false, true, true}, {0, 490, true, true, false}, {0, 490, true, true, false}, {490, 0, true, false, false}, {0, 500, false, true, true},
		},
		"others are good meanwhile": {{0, 150, false, true, true}, {200, 0, false, false, false}, {0, 100, true, false, false}},
		"good ones count once":      {{50, 60, false, true, true}, {0, 60, true, true, false}, {0, 60, true, true, false}},
		"never bad":                 {{5000, 0, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guard{size: 200}
			for i, s := range steps {
				v := g.judge(s.good, s.bad, s.again)
				if v.held != s.held || v.first != s.first || (v.err != nil) != s.held {
					t.Fatalf("step %d: %+v, want held %t, first %t", i, v, s.held, s.first)
				}
			}
		})
	}
	g := guard{size: 200}
	g.arm(false)
	if v := g.judge(0, 1000, false); v.held {
		t.Error("held though it is off")
	}
	g.arm(true)
	if v := g.judge(0, 1, false); !v.held {
		t.Error("not held though it is on again")
	}
}

func TestLagOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		bounds    stream.Bounds
		offset    int64
		committed bool
		lag       int64
		unread    float64
	}{
		{"empty", stream.Bounds{Empty: true}, -1, false, 0, 0},
		{"nothing done", stream.Bounds{First: 0, Last: 99}, -1, false, 100, 0},
		{"half done", stream.Bounds{First: 0, Last: 99}, 49, true, 49, 0},
		{"all done, the commit is the last entry", stream.Bounds{First: 0, Last: 100}, 99, true, 0, 0},
		{"all done, not committed", stream.Bounds{First: 0, Last: 99}, 99, false, 0, 0},
		{"inside the last chunk", stream.Bounds{First: 0, Last: 90}, 95, false, 0, 0},
		{"retention is at work", stream.Bounds{First: 100, Last: 199}, 119, false, 80, 0.8},
		{"messages were removed", stream.Bounds{First: 100, Last: 199}, 50, true, 100, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lag, unread := lagOf(c.bounds, c.offset, c.committed)
			if lag != c.lag || unread != c.unread {
				t.Errorf("lag %d, unread %v, want %d and %v", lag, unread, c.lag, c.unread)
			}
		})
	}
}

func TestHealthAndReady(t *testing.T) {
	t.Parallel()
	c := &Consumer{cfg: Config{Stream: "s", Now: time.Now}, gate: newGate(Config{MaxInFlight: 1}), log: slog.New(slog.DiscardHandler)}
	c.running.Store(true)
	if err := c.Health(); err == nil {
		t.Error("healthy, though it has never come round")
	}
	c.beat()
	if err := c.Health(); err != nil {
		t.Error(err)
	}
	for _, s := range []struct {
		state State
		lag   int64
		most  int64
		ready bool
	}{
		{StateConnecting, 0, 0, false},
		{StateWaiting, 0, 0, false},
		{StateSuspended, 0, 0, false},
		{StateRunning, -1, 0, true},
		{StateRunning, -1, 10, false},
		{StateRunning, 10, 10, true},
		{StateRunning, 11, 10, false},
	} {
		c.enter(s.state, nil)
		c.count(func(v *Stats) { v.Lag = s.lag })
		if err := c.Ready(s.most); (err == nil) != s.ready {
			t.Errorf("%+v: %v", s, err)
		}
	}
	c.enter(StateWaiting, context.DeadlineExceeded)
	if err := c.Ready(0); err == nil || err.Error() != "consumer: s: is waiting: context deadline exceeded" {
		t.Error(err)
	}
}
