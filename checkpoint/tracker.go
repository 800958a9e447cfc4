package checkpoint

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Limits of a Tracker.
const (
	// MaxProducers is how many producers are followed; the one that was silent for the longest time is
	// forgotten first.
	MaxProducers = 10_000
	// MaxRanges is how many missing ranges of one producer are known apart. Beyond it the two that are
	// closest become one, with the sequences between them: they then count as missing though they
	// came, until they come again.
	MaxRanges = 1_000
	// MaxName is the longest producer_id in bytes that is followed.
	MaxName = 512
)

// Tracker follows the sequences of the producers of one stream. Messages must be given to it in the
// order of the stream once they are stored; messages that come again are fine. The zero Tracker knows
// nothing and was not there from the beginning.
type Tracker struct {
	complete  bool
	producers map[string]*Progress
}

// NewTracker gives a tracker that goes on where the checkpoint ends.
func NewTracker(c Checkpoint) *Tracker {
	t := &Tracker{complete: c.Complete, producers: make(map[string]*Progress, len(c.Producers))}
	for name, p := range c.Producers {
		p.Missing = slices.Clone(p.Missing)
		t.producers[name] = &p
	}
	return t
}

// Came notes that the record seq of the producer is stored. at is the record's time. The range is what
// was found to be missing just now, with To 0 if nothing was. Records without a producer or a sequence
// are none of the tracker's.
func (t *Tracker) Came(producer string, seq uint64, at time.Time) (missing Range) {
	if producer == "" || len(producer) > MaxName || seq == 0 || seq == math.MaxUint64 {
		return Range{}
	}
	p := t.producers[producer]
	if p == nil {
		p = t.first(producer, seq)
	}
	if at.After(p.At) {
		p.At = at
	}
	switch {
	case seq == p.Seen+1:
		p.Seen = seq
	case seq > p.Seen:
		missing = Range{From: p.Seen + 1, To: seq - 1}
		p.Missing = limit(append(p.Missing, missing))
		p.Seen = seq
	default:
		p.Missing, _ = without(p.Missing, Range{seq, seq})
	}
	return missing
}

// first begins to follow a producer.
func (t *Tracker) first(producer string, seq uint64) *Progress {
	if t.producers == nil {
		t.producers = make(map[string]*Progress)
	}
	if len(t.producers) >= MaxProducers {
		oldest := ""
		for name, p := range t.producers {
			if oldest == "" || p.At.Before(t.producers[oldest].At) {
				oldest = name
			}
		}
		delete(t.producers, oldest)
		t.complete = false // a producer that is not known may be one that was forgotten
	}
	p := &Progress{}
	if !t.complete {
		p.Seen = seq - 1
	}
	t.producers[producer] = p
	return p
}

// Lost notes that a gap record says the range of the producer is lost: nobody need look for it. It gives
// how many missing sequences that explains.
func (t *Tracker) Lost(producer string, r Range) (explained uint64) {
	p := t.producers[producer]
	if p == nil || r.From < 1 || r.To < r.From {
		return 0
	}
	if r.To > p.Seen { // the gap record overtook the records around it: what it names is no more waited for
		if r.To == math.MaxUint64 || r.From > p.Seen+1 {
			return 0 // that would be a hole of its own, or nonsense
		}
		explained = r.To - p.Seen
		p.Seen = r.To
	}
	var n uint64
	p.Missing, n = without(p.Missing, r)
	explained += n
	p.Lost += explained
	return explained
}

// Checkpoint gives what the tracker knows now, as a copy.
func (t *Tracker) Checkpoint() Checkpoint {
	c := Checkpoint{Complete: t.complete, Producers: make(map[string]Progress, len(t.producers))}
	for name, p := range t.producers {
		q := *p
		q.Missing = slices.Clone(p.Missing)
		c.Producers[name] = q
	}
	return c
}

// Missing is how many sequences of all producers did not come.
func (t *Tracker) Missing() (n uint64) {
	for p := range maps.Values(t.producers) {
		n += p.MissingCount()
	}
	return n
}

// without takes cut out of the ranges. n is how many sequences that were in them.
func without(ranges []Range, cut Range) (rest []Range, n uint64) {
	begin, _ := slices.BinarySearchFunc(ranges, cut.From, func(r Range, from uint64) int {
		if r.To < from {
			return -1
		}
		return 1
	})
	end := begin
	var put []Range
	for ; end < len(ranges) && ranges[end].From <= cut.To; end++ {
		r := ranges[end]
		n += Range{max(r.From, cut.From), min(r.To, cut.To)}.Len()
		if r.From < cut.From {
			put = append(put, Range{r.From, cut.From - 1})
		}
		if r.To > cut.To {
			put = append(put, Range{cut.To + 1, r.To})
		}
	}
	if begin == end {
		return ranges, 0
	}
	return limit(slices.Replace(ranges, begin, end, put...)), n
}

// limit makes one range of the two that are closest, while there are too many.
func limit(ranges []Range) []Range {
	for len(ranges) > MaxRanges {
		best := 1
		for i := range ranges {
			if i > 0 && ranges[i].From-ranges[i-1].To < ranges[best].From-ranges[best-1].To {
				best = i
			}
		}
		ranges[best-1].To = ranges[best].To
		ranges = slices.Delete(ranges, best, best+1)
	}
	return ranges
}
