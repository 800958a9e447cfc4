package rabbit

// window knows which sequences are unconfirmed. Confirms come mostly, but not always, in order.
type window struct {
	open  []uint64            // unconfirmed, rising; those in early are confirmed but not the first
	early map[uint64]struct{} // confirmed before one that was published earlier
}

func (w *window) add(seq uint64) { w.open = append(w.open, seq) }

// drop takes away all from seq on: they were not published.
func (w *window) drop(seq uint64) {
	for len(w.open) > 0 && w.open[len(w.open)-1] >= seq {
		w.open = w.open[:len(w.open)-1]
	}
}

// confirm takes the confirm of seq and gives the highest sequence of the contiguous prefix that it
// completes, 0 if it completes none.
func (w *window) confirm(seq uint64) (upTo uint64) {
	if len(w.open) == 0 || w.open[0] != seq {
		if w.early == nil {
			w.early = make(map[uint64]struct{})
		}
		w.early[seq] = struct{}{}
		return 0
	}
	for len(w.open) > 0 {
		first := w.open[0]
		if _, ok := w.early[first]; !ok && first != seq {
			break
		}
		delete(w.early, first)
		upTo = first
		w.open = w.open[1:]
	}
	return upTo
}

func (w *window) len() int { return len(w.open) }
