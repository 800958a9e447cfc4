package consumer

import (
	"errors"
	"fmt"
	"sync"
)

// guardMin is how many records must have been judged before the guard acts.
const guardMin = 100

// guardSample is how many of the messages that the guard holds back become dead letters all the same, so that
// somebody can look at them.
const guardSample = 10

// errPoisoned is why the consumer is suspended.
var errPoisoned = errors.New("consumer: most records would become dead letters")

// guard stops the flow when most of the last records would become dead letters: then it is not the records
// that are wrong, but a mapping, a version or a server.
type guard struct {
	size int

	mu      sync.Mutex
	off     bool
	last    []bool // of the last settled records, whether each was bad
	next    int    // place in last, when it is full
	tripped bool
}

// verdict is what the guard says of records.
type verdict struct {
	held  bool  // the bad ones must wait
	first bool  // and that has just begun
	err   error // then why
}

// judge is told of records that were stored, and of others that would become dead letters. If those may, it
// counts them. again says that the bad ones were held back before.
func (g *guard) judge(good, bad int, again bool) verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	total, wrong := g.with(good, bad)
	if bad > 0 && !g.off && total >= guardMin && 2*wrong > total {
		first := !g.tripped
		g.tripped = true
		g.add(good, false)
		return verdict{true, first, fmt.Errorf("%w: %d of the last %d", errPoisoned, wrong, total)}
	}
	g.add(good, false)
	g.add(bad, true)
	if again {
		g.tripped = false
	}
	return verdict{}
}

// with counts the last records if these were among them.
func (g *guard) with(good, bad int) (total, wrong int) {
	total, wrong = good+bad, bad
	for i := range min(len(g.last), max(g.size-total, 0)) {
		place := g.next - 1 - i // the newest first
		if place < 0 {
			place += len(g.last)
		}
		if g.last[place] {
			wrong++
		}
	}
	return total + min(len(g.last), max(g.size-total, 0)), wrong
}

func (g *guard) add(n int, bad bool) {
	for range min(n, g.size) {
		if len(g.last) < g.size {
			g.last = append(g.last, bad)
			g.next = len(g.last) % g.size
			continue
		}
		g.last[g.next] = bad
		g.next = (g.next + 1) % g.size
	}
}

// arm switches the guard on or off.
func (g *guard) arm(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.off = !on
}
