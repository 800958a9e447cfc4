package capture

import (
	"strconv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// updateOp is the operation of an UPDATE as the statement means it; the images decide if they show the
// soft-delete column.
func (w *write) updateOp() Op {
	if w.kind == remove {
		return SoftDelete
	}
	return Update
}

// images are the before images of a statement in two steps.
type images struct {
	rows  [][]any
	byKey map[string][]any
	// byConflict has them by the unique keys that an upsert may be in conflict with, once it is needed.
	byConflict map[string][]any
	over       bool // more than the limits: not kept
}

// readBefore reads the before images, up to the limits.
func (w *write) readBefore(query string, args []any) (*images, error) {
	im := &images{}
	var bytes int64
	seen := map[string]bool{} // a join may find a row several times
	_, _, err := w.quietly().read(query, args, layout{before: true}, func(before, _, _ []any) bool {
		if im.over {
			return false
		}
		if w.marks.from.ok && w.plan.keys != nil {
			k := keyOf(before, w.plan.read)
			if w.plan.sure {
				k = w.plan.key(before)
			}
			if seen[k] {
				return false
			}
			seen[k] = true
		}
		bytes += size(before)
		if len(im.rows) >= w.engine.cfg.MaxRows || bytes > w.maximum {
			im.over, im.rows = true, nil
			return false
		}
		im.rows = append(im.rows, before)
		return true
	})
	if err != nil {
		return nil, err
	}
	if w.plan.keys != nil {
		im.byKey = make(map[string][]any, len(im.rows))
		for _, row := range im.rows {
			im.byKey[w.plan.key(row)] = row
		}
		if len(im.byKey) < len(im.rows) {
			im.byKey = nil // no key after all
		}
	}
	return im, nil
}

// quietly gives w for a helper statement, whose rows are not the caller's.
func (w *write) quietly() *write {
	q := *w
	q.wants = false
	return &q
}

// updateReturning runs the statement with the after images returned, and pairs them with those before.
func (w *write) updateReturning(before *images, list string) (*outcome, error) {
	if before.over {
		w.drop()
	}
	var unpaired [][]any
	n, user, err := w.read(w.appendReturning(list), w.args, layout{after: true}, func(_, after, _ []any) bool {
		if before.over {
			w.changed++
			w.op = w.updateOp()
			return false
		}
		if before.byKey == nil {
			unpaired = append(unpaired, after)
			return true
		}
		key := w.plan.key(after)
		old, ok := before.byKey[key]
		if !ok {
			unpaired = append(unpaired, after)
			return true
		}
		delete(before.byKey, key)
		return w.add(w.updateOp(), old, after, "")
	})
	if err != nil {
		return nil, err
	}
	if len(unpaired) > 0 {
		w.pair(before, unpaired)
	}
	return w.finish(n, user), nil
}

// pair finds the before images of rows whose key changed, or that have none.
func (w *write) pair(before *images, after [][]any) {
	var left [][]any
	for _, row := range before.rows {
		if before.byKey == nil {
			left = append(left, row)
		} else if _, ok := before.byKey[w.plan.key(row)]; ok {
			left = append(left, row)
		}
	}
	if len(left) == 1 && len(after) == 1 {
		w.add(w.updateOp(), left[0], after[0], "")
		return
	}
	// What the statement does not set is the same before and after.
	fixed := w.fixed()
	groups := map[string][][]any{}
	for _, row := range left {
		k := keyOf(row, fixed)
		groups[k] = append(groups[k], row)
	}
	for _, row := range after {
		k := keyOf(row, fixed)
		g := groups[k]
		if len(g) == 0 {
			w.add(w.updateOp(), nil, row, NoteNoBefore)
			continue
		}
		note := ""
		if len(g) > 1 {
			note = NoteUnpaired
		}
		w.add(w.updateOp(), g[0], row, note)
		groups[k] = g[1:]
	}
}

// fixed are the positions of the columns that the statement does not set.
func (w *write) fixed() []int {
	set := w.assigned()
	var at []int
	for _, i := range w.plan.read {
		if !set[w.model.Columns[i]] {
			at = append(at, i)
		}
	}
	return at
}
