package checkpoint_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gormtrail/audit/checkpoint"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// follow gives a tracker that saw everything from the beginning.
func follow() *checkpoint.Tracker {
	return checkpoint.NewTracker(checkpoint.Checkpoint{Complete: true})
}

func came(t *checkpoint.Tracker, producer string, seqs ...uint64) {
	for _, seq := range seqs {
		t.Came(producer, seq, noon.Add(time.Duration(seq)))
	}
}

func TestTracker_cases(t *testing.T) {
	t.Parallel()
	type ranges = []checkpoint.Range
	for _, c := range []struct {
		name    string
		tracker *checkpoint.Tracker
		feed    func(t *checkpoint.Tracker)
		indexed uint64
		missing ranges
		lost    uint64
	}{
		{"in order", follow(), func(t *checkpoint.Tracker) { came(t, "p", 1, 2, 3) }, 3, nil, 0},
		{"again", follow(), func(t *checkpoint.Tracker) { came(t, "p", 1, 2, 3, 2, 3, 1, 4) }, 4, nil, 0},
		{"a hole", follow(), func(t *checkpoint.Tracker) { came(t, "p", 1, 4) }, 1, ranges{{2, 3}}, 0},
		{"the beginning is missing", follow(), func(t *checkpoint.Tracker) { came(t, "p", 3) }, 0, ranges{{1, 2}}, 0},
		{"a hole is filled", follow(), func(t *checkpoint.Tracker) { came(t, "p", 1, 5, 3, 2, 4) }, 5, nil, 0},
		{"a hole is split", follow(), func(t *checkpoint.Tracker) { came(t, "p", 1, 6, 3) }, 1, ranges{{2, 2}, {4, 5}}, 0},
		{"joined in the middle", &checkpoint.Tracker{}, func(t *checkpoint.Tracker) { came(t, "p", 100, 101) }, 101, nil, 0},
		{"a hole after joining", &checkpoint.Tracker{}, func(t *checkpoint.Tracker) { came(t, "p", 100, 103) }, 100, ranges{{101, 102}}, 0},
		{"before joining is no hole", &checkpoint.Tracker{}, func(t *checkpoint.Tracker) { came(t, "p", 100, 99, 101) }, 101, nil, 0},
		{"lost", follow(), func(t *checkpoint.Tracker) {
			came(t, "p", 1, 10)
			t.Lost("p", checkpoint.Range{From: 3, To: 5})
		}, 1, ranges{{2, 2}, {6, 9}}, 3},
		{"lost ahead of its neighbours", follow(), func(t *checkpoint.Tracker) {
			came(t, "p", 1)
			t.Lost("p", checkpoint.Range{From: 2, To: 5})
			came(t, "p", 6)
		}, 6, nil, 4},
		{"lost far ahead is nonsense", follow(), func(t *checkpoint.Tracker) {
			came(t, "p", 1)
			t.Lost("p", checkpoint.Range{From: 3, To: 5})
			t.Lost("p", checkpoint.Range{From: 2, To: math.MaxUint64})
			t.Lost("p", checkpoint.Range{From: 2, To: 1})
			t.Lost("p", checkpoint.Range{})
			t.Lost("other", checkpoint.Range{From: 1, To: 1})
		}, 1, nil, 0},
		{"lost twice counts once", follow(), func(t *checkpoint.Tracker) {
			came(t, "p", 1, 4)
			t.Lost("p", checkpoint.Range{From: 2, To: 3})
			t.Lost("p", checkpoint.Range{From: 2, To: 3})
		}, 4, nil, 2},
		{"none of ours", follow(), func(t *checkpoint.Tracker) {
			came(t, "p", 1)
			came(t, "p", 0, math.MaxUint64)
			came(t, "", 5)
			came(t, strings.Repeat("x", checkpoint.MaxName+1), 5)
		}, 1, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.feed(c.tracker)
			got := c.tracker.Checkpoint()
			p := got.Producers["p"]
			if p.Indexed() != c.indexed || p.Lost != c.lost || len(got.Producers) != 1 {
				t.Errorf("indexed %d, lost %d, %d producers, want %d, %d, 1", p.Indexed(), p.Lost, len(got.Producers), c.indexed, c.lost)
			}
			if d := cmp.Diff(c.missing, p.Missing, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("missing (-want +got)\n%s", d)
			}
			if c.tracker.Missing() != p.MissingCount() {
				t.Errorf("%d are missing of all, %d of one", c.tracker.Missing(), p.MissingCount())
			}
		})
	}
}

// What a tracker knows is what a set of sequences knows, whatever the order, and however often it goes
// through its encoding.
func TestTracker_isASet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		tracker, have, highest := follow(), map[uint64]bool{}, uint64(0)
		for range 200 {
			seq := 1 + r.Uint64N(120)
			if r.IntN(8) == 0 {
				to := seq + r.Uint64N(20)
				if seq <= highest+1 {
					for s := seq; s <= to; s++ {
						have[s] = true
					}
					highest = max(highest, to)
				}
				if highest > 0 { // a producer that was never seen has no gaps
					tracker.Lost("p", checkpoint.Range{From: seq, To: to})
				} else {
					clear(have)
				}
			} else {
				tracker.Came("p", seq, noon)
				have[seq] = true
				highest = max(highest, seq)
			}
			if r.IntN(20) == 0 {
				tracker = checkpoint.NewTracker(roundTrip(t, tracker.Checkpoint()))
			}
			if len(tracker.Checkpoint().Producers) == 0 {
				highest = 0
				clear(have)
			}
			compare(t, fmt.Sprintf("seed %d", seed), tracker.Checkpoint().Producers["p"], have, highest)
		}
	}
}

func compare(t *testing.T, name string, p checkpoint.Progress, have map[uint64]bool, highest uint64) {
	t.Helper()
	missing := map[uint64]bool{}
	for _, r := range p.Missing {
		for s := r.From; s <= r.To; s++ {
			missing[s] = true
		}
	}
	want, indexed := map[uint64]bool{}, uint64(0)
	for s := uint64(1); s <= highest; s++ {
		if !have[s] {
			want[s] = true
		} else if len(want) == 0 {
			indexed = s
		}
	}
	if !maps.Equal(want, missing) || p.Indexed() != indexed || p.Seen != highest {
		t.Fatalf("%s: indexed %d, seen %d, want %d, %d; missing (-want +got)\n%s", name, p.Indexed(), p.Seen, indexed, highest, cmp.Diff(want, missing))
	}
}

func roundTrip(t *testing.T, c checkpoint.Checkpoint) checkpoint.Checkpoint {
	t.Helper()
	data, err := checkpoint.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := checkpoint.Decode(data)
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return back
}

func TestTracker_boundedRanges_neverPromiseTooMuch(t *testing.T) {
	t.Parallel()
	tracker := follow()
	for seq := uint64(2); seq <= 4*checkpoint.MaxRanges; seq += 2 {
		tracker.Came("p", seq, noon)
	}
	p := tracker.Checkpoint().Producers["p"]
	if len(p.Missing) != checkpoint.MaxRanges || p.Indexed() != 0 {
		t.Fatalf("%d ranges, indexed %d, want %d and 0", len(p.Missing), p.Indexed(), checkpoint.MaxRanges)
	}
	for seq := uint64(1); seq <= 4*checkpoint.MaxRanges; seq++ {
		tracker.Came("p", seq, noon)
	}
	if p := tracker.Checkpoint().Producers["p"]; p.Indexed() != 4*checkpoint.MaxRanges {
		t.Errorf("after all has come again: indexed %d, missing %v", p.Indexed(), p.Missing)
	}
}

func TestTracker_boundedProducers_forgetTheSilent(t *testing.T) {
	t.Parallel()
	tracker := follow()
	for i := range checkpoint.MaxProducers + 1 {
		tracker.Came(fmt.Sprint("p", i), 1, noon.Add(time.Duration(i)))
	}
	c := tracker.Checkpoint()
	if _, ok := c.Producers["p0"]; ok || len(c.Producers) != checkpoint.MaxProducers || c.Complete {
		t.Errorf("%d producers, the most silent still known: %v, complete: %v", len(c.Producers), ok, c.Complete)
	}
	tracker.Came("p0", 7, noon.Add(time.Hour)) // is no alarm, as it may have had 1 to 6 before
	if p := tracker.Checkpoint().Producers["p0"]; p.Indexed() != 7 {
		t.Errorf("a forgotten producer is indexed to %d, want 7", p.Indexed())
	}
}

func TestTracker_checkpointIsACopy(t *testing.T) {
	t.Parallel()
	tracker := follow()
	came(tracker, "p", 1, 5)
	c := tracker.Checkpoint()
	came(tracker, "p", 3, 2, 4)
	if d := cmp.Diff([]checkpoint.Range{{From: 2, To: 4}}, c.Producers["p"].Missing); d != "" {
		t.Errorf("the checkpoint changed with the tracker (-want +got)\n%s", d)
	}
	again := checkpoint.NewTracker(c)
	came(again, "p", 2)
	if d := cmp.Diff([]checkpoint.Range{{From: 2, To: 4}}, c.Producers["p"].Missing); d != "" {
		t.Errorf("the checkpoint changed with a tracker made of it (-want +got)\n%s", d)
	}
}

func TestDecode_refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data string }{
		{"nothing", ""},
		{"no object", `[]`},
		{"no version", `{"offset":1}`},
		{"newer", `{"version":2,"offset":1}`},
		{"offset", `{"version":1,"offset":-2}`},
		{"range from 0", `{"version":1,"producers":{"p":{"seen":9,"missing":[{"from":0,"to":1}]}}}`},
		{"range backwards", `{"version":1,"producers":{"p":{"seen":9,"missing":[{"from":3,"to":2}]}}}`},
		{"ranges touch", `{"version":1,"producers":{"p":{"seen":9,"missing":[{"from":2,"to":3},{"from":4,"to":5}]}}}`},
		{"beyond what was seen", `{"version":1,"producers":{"p":{"seen":9,"missing":[{"from":2,"to":9}]}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, err := checkpoint.Decode([]byte(c.data)); !errors.Is(err, checkpoint.ErrFormat) {
				t.Errorf("%+v, %v, want ErrFormat", got, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"stream":"s","group":"g","offset":7,"at":"2026-03-01T12:00:00Z","complete":true,"producers":{"p":{"seen":9,"missing":[{"from":2,"to":3}],"lost":1,"at":"2026-03-01T12:00:00Z"}}}`))
	f.Add([]byte(`{"version":1,"offset":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := checkpoint.Decode(data)
		if err != nil {
			return
		}
		if d := cmp.Diff(c, roundTrip(t, c), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		tracker := checkpoint.NewTracker(c)
		for name, p := range c.Producers {
			before := p.Indexed()
			tracker.Came(name, p.Seen/2, noon)
			if after := tracker.Checkpoint().Producers[name]; after.Indexed() < before {
				t.Errorf("%q went back from %d to %d", name, before, after.Indexed())
			}
		}
	})
}
