package audit

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

const (
	// maxHops bounds how far targets of targets are followed.
	maxHops = 16
	// parentChunk is how many parents are read by one statement.
	parentChunk = 200
)

// object is what a record is about.
type object struct {
	table *table
	row   []any // nil if it could not be read
	id    string
}

// parents finds the objects under which the changes of dependent rows are logged.
type parents struct {
	handle *handle
	conn   gorm.ConnPool // nil: nothing is read
	inTx   bool
	rows   map[rowKey][]any // nil: known not to be there
}

// want is a parent to be found.
type want struct {
	edge  *edge
	space string // of the parent
	key   []any
}

func (w want) rowKey() rowKey { return w.edge.parent.rowKey(w.space, w.edge.ref, w.key) }

// parentOf gives the parent that row, an image of t in the database schema space, points at.
func (t *table) parentOf(space string, row []any) (want, bool) {
	for _, e := range t.edges {
		if key, ok := e.parentKey(row); ok {
			return want{e, e.space(space), key}, true
		}
	}
	return want{}, false
}

// newParents takes the rows of the unit itself, whose images are the newest there are.
func newParents(h *handle, conn gorm.ConnPool, inTx bool, items []*pending) *parents {
	ps := &parents{handle: h, conn: conn, inTx: inTx, rows: make(map[rowKey][]any)}
	for _, p := range items {
		if p.table == nil || p.summary != nil || p.entry != nil {
			continue
		}
		for _, columns := range p.table.refs {
			row := p.image()
			for _, image := range [][]any{p.before, p.after} {
				if image != nil {
					ps.rows[p.table.rowKey(p.space(), columns, pick(image, columns))] = row
				}
			}
		}
	}
	return ps
}

// wants gives the parents that p is logged under: of a changed foreign key both.
func (p *pending) wants() []want {
	if p.table == nil || p.summary != nil || p.entry != nil && p.entry.base.ObjectType != "" {
		return nil
	}
	var out []want
	for _, image := range [][]any{p.before, p.after} {
		w, ok := p.table.parentOf(p.space(), image)
		if !ok {
			continue
		}
		if len(out) == 0 || out[0].rowKey() != w.rowKey() {
			out = append(out, w)
		}
	}
	return out
}

// load reads all parents that the items need and that are not in the unit, table by table, and then
// the parents of those.
func (ps *parents) load(ctx context.Context, items []*pending) error {
	var open []want
	for _, p := range items {
		if !p.suppressed {
			open = append(open, p.wants()...)
			if p.rel != nil {
				open = append(append(open, p.rel.owner), p.rel.targets...)
			}
		}
	}
	var errs []error
	for range maxHops {
		if len(open) == 0 {
			break
		}
		errs = append(errs, ps.read(ctx, open))
		var next []want
		for _, w := range open {
			if up, ok := w.edge.parent.parentOf(w.space, ps.rows[w.rowKey()]); ok {
				next = append(next, up)
			}
		}
		open = next
	}
	return errors.Join(errs...)
}

// read reads those of the wanted rows that are not known yet.
func (ps *parents) read(ctx context.Context, open []want) error {
	type group struct {
		edge  *edge
		space string
		keys  [][]any
	}
	groups := make(map[string]*group)
	var order []*group
	seen := make(map[rowKey]bool)
	for _, w := range open {
		k := w.rowKey()
		if _, known := ps.rows[k]; known || seen[k] {
			continue
		}
		seen[k] = true
		name := fmt.Sprint(w.space, w.edge.parent.schema.Table, w.edge.ref)
		g := groups[name]
		if g == nil {
			g = &group{edge: w.edge, space: w.space}
			groups[name] = g
			order = append(order, g)
		}
		g.keys = append(g.keys, w.key)
	}
	if ps.conn == nil || len(order) == 0 {
		return nil
	}
	var errs []error
	for _, g := range order {
		for len(g.keys) > 0 {
			n := min(len(g.keys), parentChunk)
			if err := ps.query(ctx, g.edge, g.space, g.keys[:n]); err != nil {
				errs = append(errs, fmt.Errorf("audit: read %s: %w", g.edge.parent.schema.Table, err))
			}
			g.keys = g.keys[n:]
		}
	}
	return errors.Join(errs...)
}

// query reads the rows of one table by bare SQL: no callback, scope, logger or replica takes part. In
// a transaction of PostgreSQL an error would abort it, so there it runs within a savepoint.
func (ps *parents) query(ctx context.Context, e *edge, space string, keys [][]any) error {
	return guard("reading parents", func() error {
		if !ps.inTx || ps.handle.db.Name() != "postgres" {
			return ps.scan(ctx, e, space, keys)
		}
		_, err := ps.conn.ExecContext(ctx, "SAVEPOINT audit_parents")
		var state interface{ SQLState() string }
		if errors.As(err, &state) && state.SQLState() == "25P01" {
			return ps.scan(ctx, e, space, keys) // on a connection that is in no transaction
		}
		if err != nil {
			return err
		}
		if err := ps.scan(ctx, e, space, keys); err != nil {
			_, undo := ps.conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT audit_parents")
			return errors.Join(err, undo)
		}
		_, err = ps.conn.ExecContext(ctx, "RELEASE SAVEPOINT audit_parents")
		return err
	})
}

func (ps *parents) scan(ctx context.Context, e *edge, space string, keys [][]any) (err error) {
	st := e.selectRows(ps.handle.db, space, keys)
	rows, err := ps.conn.QueryContext(ctx, st.SQL.String(), st.Vars...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	t := e.parent
	for rows.Next() {
		row := make([]any, len(t.columns))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		ps.rows[t.rowKey(space, e.ref, pick(row, e.ref))] = row
	}
	return rows.Err()
}

// selectRows builds the statement for rows of the parent by the referenced columns, in the database schema space
// if it is not empty.
func (e *edge) selectRows(db *gorm.DB, space string, keys [][]any) *gorm.Statement {
	t := e.parent
	name := t.schema.Table
	if space != "" {
		name = space + "." + name
	}
	st := &gorm.Statement{DB: db, Schema: t.schema, Table: t.schema.Table}
	write := func(s string) { st.SQL.WriteString(s) }
	write("SELECT ")
	for i := range t.columns {
		if i > 0 {
			write(",")
		}
		st.WriteQuoted(t.columns[i].name)
	}
	write(" FROM ")
	st.WriteQuoted(name)
	write(" WHERE ")
	if len(e.ref) == 1 {
		st.WriteQuoted(t.columns[e.ref[0]].name)
		write(" IN (")
		for i, key := range keys {
			if i > 0 {
				write(",")
			}
			st.AddVar(st, key[0])
		}
		write(")")
		return st
	}
	for i, key := range keys {
		if i > 0 {
			write(" OR ")
		}
		write("(")
		for j, c := range e.ref {
			if j > 0 {
				write(" AND ")
			}
			st.WriteQuoted(t.columns[c].name)
			write(" = ")
			st.AddVar(st, key[j])
		}
		write(")")
	}
	return st
}

// find follows the targets from w to the object at their end. Where a row on the way is not there, or
// points at nothing, the way ends.
func (ps *parents) find(w want) object {
	for range maxHops {
		t := w.edge.parent
		row := ps.rows[w.rowKey()]
		if row == nil {
			return object{table: t, id: w.id()}
		}
		if up, ok := t.parentOf(w.space, row); ok {
			w = up
			continue
		}
		return object{table: t, row: row, id: t.objectID(row)}
	}
	return object{table: w.edge.parent, id: w.id()}
}

// id gives the parent's object_id without its row. If the foreign key holds no primary key, it is the
// best there is.
func (w want) id() string {
	id := ""
	for i, c := range w.edge.ref {
		if i > 0 {
			id += ","
		}
		id += w.edge.parent.columns[c].keyText(w.key[i])
	}
	return id
}
