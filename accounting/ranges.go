package accounting

import "slices"

// ranges is a set of sequences: ascending, and not touching each other.
type ranges []span

type span struct{ from, to uint64 }

// add adds the sequences from..to and gives how many of them are new.
func (r *ranges) add(from, to uint64) (added uint64) {
	if to < from || from == 0 {
		return 0
	}
	all := *r
	// Those that touch from..to become one with it.
	first := len(all)
	for first > 0 && all[first-1].to+1 >= from {
		first--
	}
	last := first
	merged := span{from, to}
	added = to - from + 1
	for last < len(all) && all[last].from <= to+1 {
		s := all[last]
		if lo, hi := max(s.from, from), min(s.to, to); lo <= hi {
			added -= hi - lo + 1
		}
		merged.from, merged.to = min(merged.from, s.from), max(merged.to, s.to)
		last++
	}
	*r = slices.Replace(all, first, last, merged)
	return added
}
