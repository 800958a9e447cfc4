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

// fits reports whether the messages may be published beside the entries.
func (w *window) fits(messages []stream.Message, limit, limitBytes int) bool {
	if len(w.entries) == 0 {
		return true
	}
	bytes := w.bytes
	for _, m := range messages {
		bytes += len(m.Payload)
	}
	return len(w.entries)+len(messages) <= limit && bytes <= limitBytes
}
