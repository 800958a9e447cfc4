package audit

// suppress marks the deletes of dependents whose parent is deleted in the same unit: one delete, one
// record. In which order the rows went does not matter, as GORM deletes associations in any order and
// applications by hand. The record of the topmost parent that stays gets the counts. It gives the
// number of suppressed ones.
func suppress(items []*pending) (n int64) {
	deleted := make(map[rowKey]*pending)
	dependents := false
	for _, p := range items {
		switch {
		case p.table == nil || p.entry != nil || p.summary != nil || p.rel != nil:
		case p.deletes():
			for _, columns := range p.table.refs {
				deleted[p.table.rowKey(p.space(), columns, pick(p.before, columns))] = p
			}
			dependents = dependents || len(p.table.edges) > 0
		case p.after != nil:
			// It is there again, and so are its dependents missed.
			for _, columns := range p.table.refs {
				delete(deleted, p.table.rowKey(p.space(), columns, pick(p.after, columns)))
			}
		}
	}
	if !dependents || len(deleted) == 0 {
		return 0
	}
	for _, p := range items {
		if p.table == nil || !p.deletes() {
			continue
		}
		// Up to the topmost parent that is deleted too. Targets have no circles.
		top := p
		for {
			parent := top.parentIn(deleted)
			if parent == nil || parent == top {
				break
			}
			top = parent
		}
		if top == p {
			continue
		}
		p.suppressed = true
		top.addCascaded(p.table.model.info.ModelName, 1)
		n++
	}
	return n
}

// parentIn gives the delete of the parent that p's row pointed at when it was deleted.
func (p *pending) parentIn(deleted map[rowKey]*pending) *pending {
	w, ok := p.table.parentOf(p.space(), p.before)
	if !ok {
		return nil
	}
	return deleted[w.rowKey()]
}
