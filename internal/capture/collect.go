package capture

// collector keeps the changes of one statement, up to the limits.
type collector struct {
	write   *write
	changes []Change
	changed int64 // rows, kept or not
	bytes   int64
	maximum int64
	over    bool
	op      Op // of the last change
}

// add takes the change of one row, and reports whether it keeps the images. An update of equal images
// is no change.
func (c *collector) add(op Op, before, after []any, note string) bool {
	p := c.write.plan
	if before != nil && after != nil {
		if p.equal(before, after) {
			return false
		}
		if op == Update {
			op = p.updated(before, after)
		}
	}
	c.changed++
	c.op = op
	if c.over {
		return false
	}
	c.bytes += size(before) + size(after)
	if len(c.changes) >= c.write.engine.cfg.MaxRows || c.bytes > c.maximum {
		c.drop()
		return false
	}
	c.changes = append(c.changes, Change{
		Model: c.write.model, Table: c.write.name, Op: op, Before: before, After: after, Note: note,
	})
	return true
}

// drop gives up keeping single changes.
func (c *collector) drop() {
	c.over, c.changes, c.bytes = true, nil, 0
}

// result gives what the statement changed, after it has returned.
func (c *collector) result() ([]Change, *Summary) {
	now := c.write.engine.cfg.Now()
	if c.over {
		return nil, &Summary{
			Model: c.write.model, Table: c.write.name, Op: c.op, Rows: c.changed,
			Statement: c.write.query, Time: now,
		}
	}
	for i := range c.changes {
		c.changes[i].Time = now
	}
	return c.changes, nil
}
