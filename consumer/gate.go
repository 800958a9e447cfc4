package consumer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// firstInFlight is how many writes are under way at first: one OpenSearch node on two cores takes no more.
const firstInFlight = 2

// growAfter is after how many good writes in a row, while all places were taken, one more is tried.
const growAfter = 20

// gate lets as many writes through as the store can take. It adds one place while all is well, and halves
// them, and closes for a while, when the store is overloaded (additive increase, multiplicative decrease).
// While nothing can be stored, one write at a time finds out whether that is over.
type gate struct {
	most      int
	low, high time.Duration // bounds of the pauses

	mu       sync.Mutex
	limit    int
	busy     int
	good     int // writes in a row while all places were taken
	failures int // in a row
	pauses   int // how many have not ended
	changed  chan struct{}
}

func newGate(cfg Config) *gate {
	return &gate{
		most: cfg.MaxInFlight, low: cfg.MinBackoff, high: cfg.MaxBackoff,
		limit: min(firstInFlight, cfg.MaxInFlight), changed: make(chan struct{}),
	}
}

// enter waits for a place; it is false at the end of ctx.
func (g *gate) enter(ctx context.Context) bool {
	for ctx.Err() == nil {
		g.mu.Lock()
		if g.pauses == 0 && g.busy < g.limit {
			g.busy++
			g.mu.Unlock()
			return true
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// leave gives the place back. how is what came of the write.
func (g *gate) leave(how outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	full := g.busy >= g.limit
	g.busy--
	defer g.signal()
	if how == fine {
		g.failures = 0
		if g.good++; !full {
			g.good = 0
		}
		if g.good >= growAfter {
			g.good, g.limit = 0, min(g.limit+1, g.most)
		}
		return
	}
	g.good = 0
	g.limit = max(g.limit/2, 1)
	if how == hopeless {
		g.limit = 1
	}
	d := g.high
	if g.failures < 16 {
		d = min(g.low<<g.failures, g.high)
	}
	g.failures++
	g.pauses++
	time.AfterFunc(g.low+rand.N(max(d-g.low, 1)), func() { //nolint:gosec // no secret
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pauses--
		g.signal()
	})
}

// signal wakes all who wait. The caller holds mu.
func (g *gate) signal() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// now gives the places, and how many are taken.
func (g *gate) now() (limit, busy int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit, g.busy
}

// outcome is what came of a write.
type outcome int

const (
	fine     outcome = iota
	overload         // some of it has to be sent again
	hopeless         // nothing will be taken until somebody has mended something
)
