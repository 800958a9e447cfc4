package relay

import "github.com/gormtrail/audit/stream"

// window has what was published and is not acknowledged, in order.
type window struct {
	entries []entry
	bytes   int
}

type entry struct {
	seq     uint64
	size    int
	skipped bool // put aside: counts as done
}

func (w *window) add(m stream.Message, skipped bool) {
	e := entry{seq: m.Seq, size: len(m.Payload), skipped: skipped}
	w.entries = append(w.entries, e)
	w.bytes += e.size
}

// confirm takes away what is done when everything up to upTo is confirmed. done is 0 if nothing is,
// else the sequence up to which everything is.
func (w *window) confirm(upTo uint64) (done uint64, confirmed int) {
	for len(w.entries) > 0 {
		e := w.entries[0]
		if e.seq > upTo && !e.skipped {
			break
		}
		if !e.skipped {
			confirmed++
		}
		done = e.seq
		w.bytes -= e.size
		w.entries = w.entries[1:]
	}
	return done, confirmed
}

// room gives how many of the messages may be published beside the entries; at least one if there are
// no entries.
func (w *window) room(messages []stream.Message, limit, limitBytes int) int {
	n, bytes := 0, w.bytes
	for n < len(messages) && len(w.entries)+n < limit {
		bytes += len(messages[n].Payload)
		if bytes > limitBytes && (n > 0 || len(w.entries) > 0) {
			break
		}
		n++
	}
	return n
}
