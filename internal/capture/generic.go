package capture

import (
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// generic captures on a database that is not tested, by SELECTs before and after the statement. It knows of
// no catalogue: the table has the columns of the model, and no two rows have the same primary key. What it
// does not understand runs as it is and is counted, and so does a statement whose SELECTs fail.
type generic struct {
	savepoints bool // GORM's driver has them
	locks      bool // SELECT … FOR UPDATE is understood
	primes     bool // an old SQLite, where reading first makes a transaction that may not write
}

var _ dialect = generic{}

// helperError is of a statement of ours, which takes back what was done since the savepoint.
type helperError struct{ err error }

func (e *helperError) Error() string { return e.err.Error() }
func (e *helperError) Unwrap() error { return e.err }

func (generic) describe(w *write, _ string) (*table, error) {
	t := &table{columns: map[string]bool{}}
	for _, c := range w.model.Columns {
		t.columns[c] = true
	}
	if keys := w.model.Schema.PrimaryFieldDBNames; len(keys) > 0 {
		t.unique = []uniqueKey{{name: "primary key", columns: keys}}
	}
	return t, nil
}

func (generic) needsTx(*write) bool { return true }

func (generic) traits() traits { return traits{doubtful: true} }

func (generic) retry(err error) (ours, usable bool) {
	var h *helperError
	return errors.As(err, &h), false
}

// gaveUp is for an error of ours. In front of the statement it runs as it is; behind it the savepoint takes
// both back, or, where there are none, the change is counted as not captured.
func (d generic) gaveUp(w *write, out *outcome, err error) (*outcome, error) {
	switch {
	case d.savepoints:
		return nil, &helperError{err}
	case w.calls.sent:
		w.drop()
		w.changed = 0
		w.engine.failed(w.st, err)
		return d.uncounted(w, out)
	default:
		w.engine.failed(w.st, err)
		return nil, errUnread
	}
}

// uncounted is for a statement that has run, but nobody knows which rows it wrote.
func (generic) uncounted(w *write, out *outcome) (*outcome, error) {
	if w.engine.strict(w) {
		return nil, fmt.Errorf("%w: %s: table %q", ErrCapture, ReasonUnread, w.name)
	}
	w.engine.skipped(w.st, ReasonUnread)
	return out, nil
}

// find gives the SQL of a SELECT of ours: the rows of the statement's own condition.
func (d generic) find(w *write) (query string, vars []any) {
	h := &gorm.Statement{
		DB: w.st.DB, Table: w.st.Table, TableExpr: w.st.TableExpr, Schema: w.st.Schema,
		Context: w.st.Context, Clauses: map[string]clause.Clause{},
	}
	h.SQL.WriteString("SELECT " + w.plan.list + " FROM ")
	h.QuoteTo(&h.SQL, clause.Table{Name: clause.CurrentTable})
	if c, ok := w.st.Clauses["WHERE"]; ok {
		h.Clauses["WHERE"] = c
		h.SQL.WriteByte(' ')
		h.Build("WHERE")
	}
	h.SQL.WriteString(d.lock())
	return h.SQL.String(), h.Vars
}

func (d generic) lock() string {
	if d.locks {
		return " FOR UPDATE"
	}
	return ""
}

func (d generic) note() string {
	if d.locks || d.primes {
		return ""
	}
	return NoteUnlocked
}

// before reads the rows that the statement will change.
func (d generic) before(w *write) (*images, error) {
	if d.primes {
		if err := (sqlite{}).prime(w, w.quoted); err != nil {
			return nil, err
		}
	}
	query, vars := d.find(w)
	return w.readBefore(query, vars)
}

// run runs the statement as GORM built it.
func (d generic) run(w *write) (*outcome, int64, error) {
	if w.wants {
		w.calls.sent = true
		n, user, err := w.read(w.query, w.args, layout{}, func(_, _, _ []any) bool { return false })
		return w.finish(n, user), n, err
	}
	res, err := w.send()
	if err != nil {
		return nil, 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		n = -1 // not known
	}
	return &outcome{result: res}, n, nil
}

func (d generic) update(w *write) (*outcome, error) {
	set := w.assigned()
	for _, i := range w.plan.keys {
		if set[w.model.Columns[i]] {
			return nil, errUnread // the row would not be found again
		}
	}
	if len(w.plan.keys) == 0 || len(set) == 0 || d.special(w) {
		return nil, errUnread
	}
	before, err := d.before(w)
	if err != nil {
		return d.gaveUp(w, nil, err)
	}
	if len(before.rows) > 0 && before.byKey == nil {
		return nil, errUnread // no key after all
	}
	out, n, err := d.run(w)
	switch {
	case err != nil:
		return nil, err
	case before.over:
		w.drop()
		w.changed, w.op = max(n, 1), w.updateOp()
		return out, nil
	case len(before.rows) == 0:
		if n > 0 { // somebody else's, in between
			return d.uncounted(w, out)
		}
		return out, nil
	}
	after, err := d.readKeys(w, before.rows)
	if err != nil {
		return d.gaveUp(w, out, err)
	}
	for _, old := range before.rows {
		if row, ok := after.byKey[w.plan.key(old)]; ok {
			w.add(w.updateOp(), old, row, d.note())
		} else {
			w.add(w.updateOp(), old, nil, NoteNoAfter)
		}
	}
	return out, nil
}

func (d generic) remove(w *write) (*outcome, error) {
	if d.special(w) {
		return nil, errUnread
	}
	before, err := d.before(w)
	if err != nil {
		return d.gaveUp(w, nil, err)
	}
	out, n, err := d.run(w)
	switch {
	case err != nil:
		return nil, err
	case before.over:
		w.drop()
		w.changed, w.op = max(n, 1), Delete
		return out, nil
	case n >= 0 && n != int64(len(before.rows)):
		return d.uncounted(w, out)
	}
	for _, row := range before.rows {
		w.add(Delete, row, nil, d.note())
	}
	return out, nil
}

// special reports whether the statement has more than a condition.
func (generic) special(w *write) bool {
	for _, name := range []string{"ORDER BY", "LIMIT"} {
		if _, ok := w.st.Clauses[name]; ok {
			return true
		}
	}
	from, ok := w.st.Clauses["FROM"].Expression.(clause.From)
	return ok && len(from.Tables)+len(from.Joins) > 0 || w.modified()
}

// modified reports whether the verb has a modifier, which may mean anything.
func (w *write) modified() bool {
	for _, name := range []string{"INSERT", "UPDATE", "DELETE"} {
		switch c := w.st.Clauses[name].Expression.(type) {
		case clause.Insert:
			return c.Modifier != ""
		case clause.Update:
			return c.Modifier != ""
		case clause.Delete:
			return c.Modifier != ""
		}
	}
	return false
}

// insert captures an INSERT that only adds rows, by their keys: those that it gives, those that it
// returns, or the one number that the server made.
func (d generic) insert(w *write) (*outcome, error) {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	if _, upsert := w.st.Clauses["ON CONFLICT"]; upsert || w.modified() || len(w.plan.keys) == 0 || len(values.Values) == 0 {
		return nil, errUnread
	}
	out, n, err := d.run(w)
	if err != nil {
		return nil, err
	}
	keys := d.newKeys(w, values, out)
	if keys == nil || n >= 0 && n != int64(len(keys)) {
		return d.uncounted(w, out)
	}
	added, err := d.readKeys(w, keys)
	if err != nil {
		return d.gaveUp(w, out, err)
	}
	if len(added.rows) != len(keys) {
		return d.uncounted(w, out)
	}
	for _, row := range added.rows {
		w.add(Insert, nil, row, "")
	}
	return out, nil
}

// newKeys gives images of the added rows with nothing but their keys, nil if they are not known.
func (d generic) newKeys(w *write, values clause.Values, out *outcome) [][]any {
	var names []string
	for _, i := range w.plan.keys {
		names = append(names, w.model.Columns[i])
	}
	image := func(key []any) []any {
		row := make([]any, len(w.model.Columns))
		for j, i := range w.plan.keys {
			row[i] = key[j]
		}
		return row
	}
	var rows [][]any
	if key, _ := w.table.keyValues(names, values); len(key.values) == len(values.Values) {
		for _, v := range key.values {
			rows = append(rows, image(v))
		}
		return rows
	}
	if out.user != nil {
		for _, own := range out.user.rows {
			var key []any
			for _, name := range names {
				if i := position(out.user.columns, name); i >= 0 {
					key = append(key, own[i])
				}
			}
			if len(key) < len(names) {
				return nil
			}
			rows = append(rows, image(key))
		}
		return rows
	}
	if len(values.Values) == 1 && len(names) == 1 {
		if id, err := out.result.LastInsertId(); err == nil && id > 0 {
			return [][]any{image([]any{id})}
		}
	}
	return nil
}

// readKeys reads the rows with the keys of others. Conditions are written out, since not every database has
// lists of several columns.
func (d generic) readKeys(w *write, rows [][]any) (*images, error) {
	all := &images{byKey: map[string][]any{}}
	const most = 500 // conditions of one statement
	for len(rows) > 0 {
		chunk := rows[:min(len(rows), max(most/len(w.plan.keys), 1))]
		rows = rows[len(chunk):]
		h := &gorm.Statement{
			DB: w.st.DB, Table: w.st.Table, TableExpr: w.st.TableExpr, Schema: w.st.Schema,
			Context: w.st.Context, Clauses: map[string]clause.Clause{},
		}
		h.SQL.WriteString("SELECT " + w.plan.list + " FROM ")
		h.QuoteTo(&h.SQL, clause.Table{Name: clause.CurrentTable})
		for n, row := range chunk {
			if n == 0 {
				h.SQL.WriteString(" WHERE (")
			} else {
				h.SQL.WriteString(" OR (")
			}
			for j, i := range w.plan.keys {
				if j > 0 {
					h.SQL.WriteString(" AND ")
				}
				h.QuoteTo(&h.SQL, clause.Column{Name: w.model.Columns[i]})
				h.SQL.WriteString(" = ")
				h.AddVar(&h.SQL, row[i])
			}
			h.SQL.WriteByte(')')
		}
		im, err := w.readBefore(h.SQL.String(), h.Vars)
		if err != nil {
			return nil, err
		}
		all.add(im)
		if all.over {
			return all, nil
		}
	}
	return all, nil
}
