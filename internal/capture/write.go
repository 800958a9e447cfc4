package capture

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/tx"
)

// kind is the handler that a statement came from.
type kind uint8

const (
	create kind = iota + 1
	update
	remove
)

// write is one main statement on its way.
type write struct {
	engine *engine
	st     *gorm.Statement
	model  *Model
	kind   kind
	marks  *marks

	query string
	args  []any
	wants bool // the caller wants the rows of its RETURNING clause

	conn gorm.ConnPool
	unit *tx.Unit // nil outside a transaction
	called
	table *table
	plan  *plan
	*collector

	calls *calls

	upsertDone bool
	upsertPlan *upsert
}

// calls says where a panic came from.
type calls struct {
	inside bool // in the driver, or in a value of the application that the driver asks
	sent   bool // the main statement was sent
	alive  bool // its context had not ended by then
}

// outcome is what a statement gives to the caller.
type outcome struct {
	result sql.Result
	user   *replay // set if the caller asked for rows
}

// errUnread says that a statement cannot be captured; it is run as it is.
var errUnread = errors.New("audit: statement is not understood")

// result is the sql.Result of a statement that ran as a query.
type result struct {
	rows   int64
	lastID int64
	hasID  bool
}

// LastInsertId gives the id, or the error that the driver would give.
func (r result) LastInsertId() (int64, error) {
	if !r.hasID {
		return driver.RowsAffected(r.rows).LastInsertId() //nolint:wrapcheck // as drivers without ids do
	}
	return r.lastID, nil
}

// RowsAffected gives the number of rows.
func (r result) RowsAffected() (int64, error) { return r.rows, nil }

// naming is how a statement calls its table.
type naming struct{ table, expr string }

// called are the names of a statement's table.
type called struct {
	ref    string // the quoted name by which the SQL calls it
	name   string // with its schema, unquoted
	quoted string // with its schema, as SQL names it, without an alias
}

// target finds out which table the statement writes.
func (w *write) target() {
	st := w.st
	key := naming{table: st.Table}
	if e := st.TableExpr; e != nil {
		if len(e.Vars) > 0 {
			w.called = w.call()
			return
		}
		key.expr = e.SQL
	}
	if c, ok := w.engine.called.Load(key); ok {
		w.called = c.(called) //nolint:forcetypeassert // only those are stored
		return
	}
	w.called = w.call()
	w.engine.called.Store(key, w.called)
}

func (w *write) call() (c called) {
	st := w.st
	c.name = TableName(st)
	ref := st.Table
	if expr := tableExpr(st); st.TableExpr != nil && len(st.TableExpr.Vars) > 0 && !strings.ContainsAny(expr, " \t\n") {
		ref = c.name[strings.LastIndexByte(c.name, '.')+1:] // GORM finds aliases only, and st.Table is the model's
	}
	c.ref = st.Quote(clause.Table{Name: ref})
	// GORM's own way (Quote of the current table) would have the alias.
	c.quoted = st.Quote(clause.Table{Name: c.name})
	return c
}

// TableName gives the table that st writes, with its schema if the statement names one, without quotes
// and alias. st.Table alone has the alias, and lacks the schema.
func TableName(st *gorm.Statement) string {
	if s := unquoteTable(tableExpr(st)); s != "" {
		return s
	}
	return st.Table
}

// tableExpr gives the expression of Table("x") as text, "" if there is none or it is more than names.
func tableExpr(st *gorm.Statement) string {
	e := st.TableExpr
	if e == nil {
		return ""
	}
	for _, v := range e.Vars {
		switch v.(type) {
		case clause.Table, clause.Column:
		default:
			return ""
		}
	}
	if len(e.Vars) == 0 {
		return e.SQL
	}
	h := &gorm.Statement{DB: st.DB, Schema: st.Schema, Context: st.Context, Clauses: map[string]clause.Clause{}}
	e.Build(h)
	return h.SQL.String()
}

// quotes are what databases put around names.
var quotes = strings.NewReplacer(`"`, "", "`", "", "[", "", "]", "")

// unquoteTable gives a table expression without quotes and alias, "" if it is none.
func unquoteTable(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " \t\n"); i >= 0 {
		s = s[:i]
	}
	if strings.ContainsAny(s, "(?)") {
		return ""
	}
	return quotes.Replace(s)
}

// parts are the pieces of an UPDATE, cut where GORM began them.
type parts struct {
	table     string // as after UPDATE, with alias
	set       string // SET …
	from      string // FROM …, or empty
	where     string // WHERE …, or empty
	rest      string // ORDER BY … LIMIT …, or empty
	returning string // columns of the caller's RETURNING, or empty

	// vars are the variables of from, where and rest; first of them stand before.
	vars  []any
	first int
}

func (w *write) parts() (p parts, ok bool) {
	m, q := w.marks, w.query
	const verb = "UPDATE "
	if !m.set.ok || !strings.HasPrefix(q, verb) || m.set.at < len(verb)+1 {
		return p, false
	}
	p.table = q[len(verb) : m.set.at-1]
	end := len(q)
	vars, first := len(w.args), -1
	if m.returning.ok {
		end = m.returning.at - 1
		vars = m.returning.vars
		p.returning = strings.TrimPrefix(q[m.returning.at:], "RETURNING ")
	}
	cut := func(k *mark) string {
		if !k.ok {
			return ""
		}
		s := q[k.at:end]
		end, first = k.at-1, k.vars
		return s
	}
	if rest := m.order; rest.ok || m.limit.ok {
		if !rest.ok {
			rest = m.limit
		}
		p.rest = cut(&rest)
	}
	p.where = cut(&m.where)
	p.from = cut(&m.from)
	p.first = max(first, 0)
	if first >= 0 {
		p.vars = w.args[first:vars]
	}
	p.set = cut(&m.set)
	return p, strings.HasPrefix(p.set, "SET ")
}

// source gives what a SELECT of the same rows has after FROM.
func (p *parts) source() string {
	s := p.table
	if p.from != "" {
		s += ", " + strings.TrimPrefix(p.from, "FROM ")
	}
	return s + " " + p.where + " " + p.rest
}

// layout says which columns of ours follow those of the caller in a row.
type layout struct {
	before, after bool
	extra         int
}

// read runs a statement that returns rows, and hands each to f. Images that f does not keep are used
// again. It gives the number of rows, and the caller's own columns if it wants them.
func (w *write) read(query string, args []any, l layout, f func(before, after, extra []any) (kept bool)) (n int64, user *replay, err error) {
	w.calls.inside = true
	w.calls.alive = w.st.Context.Err() == nil
	rows, err := w.fetch(query, args)
	w.calls.inside = false
	if err != nil {
		return 0, nil, err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	names, err := rows.Columns()
	if err != nil {
		return 0, nil, err
	}
	columns := len(w.plan.read)
	ours := l.extra
	if l.before {
		ours += columns
	}
	if l.after {
		ours += columns
	}
	users := len(names) - ours
	if users < 0 { // MariaDB gives no columns if the condition cannot be true
		return 0, &replay{columns: names}, nil
	}
	user = &replay{columns: names[:users]}
	if w.wants && w.st.Schema == nil {
		types, err := rows.ColumnTypes()
		if err != nil {
			return 0, nil, err
		}
		user.types = types[:users]
	}
	dest := make([]any, len(names))
	var before, after, own []any
	extra := make([]any, l.extra)
	for i := range extra {
		dest[len(names)-l.extra+i] = &extra[i]
	}
	kept := true
	for rows.Next() {
		if kept {
			at := users
			if l.before {
				before, at = w.slots(dest, at)
			}
			if l.after {
				after, _ = w.slots(dest, at)
			}
		}
		if users > 0 {
			if own == nil || w.wants {
				own = make([]any, users)
				for i := range own {
					dest[i] = &own[i]
				}
			}
		}
		if err := rows.Scan(dest...); err != nil {
			return n, nil, err
		}
		n++
		if w.wants {
			user.rows = append(user.rows, own)
		}
		kept = w.row(f, before, after, extra)
	}
	return n, user, rows.Err()
}

// row hands a row to f. A panic gives up keeping single changes; the statement goes on.
func (w *write) row(f func(before, after, extra []any) bool, before, after, extra []any) (kept bool) {
	defer func() {
		if r := recover(); r != nil {
			w.engine.failed(w.st, fmt.Errorf("%w: panic: %v", ErrCapture, r))
			w.drop()
			w.changed++
			kept = false
		}
	}()
	return f(before, after, extra)
}

// send runs the main statement without asking for rows.
func (w *write) send() (sql.Result, error) {
	w.calls.inside, w.calls.sent, w.calls.alive = true, true, w.st.Context.Err() == nil
	query := w.query
	if w.wants { // without the caller's RETURNING, whose columns it gets otherwise
		query = query[:w.marks.returning.at-1]
	}
	res, err := w.conn.ExecContext(w.st.Context, query, w.args...)
	w.calls.inside = false
	return res, err
}

// fetch sends a query that gives rows.
func (w *write) fetch(query string, args []any) (*sql.Rows, error) {
	if _, ok := w.engine.dialect.(sqlite); ok {
		return fetchSQLite(w, query, args)
	}
	return w.conn.QueryContext(w.st.Context, query, args...)
}

// slots makes an image and lets dest scan into it from at on.
func (w *write) slots(dest []any, at int) (image []any, next int) {
	image = make([]any, len(w.model.Columns))
	for _, i := range w.plan.read {
		dest[at] = &image[i]
		at++
	}
	return image, at
}

// appendReturning gives the statement with our columns after those of the caller.
func (w *write) appendReturning(columns string) string {
	w.calls.sent = true
	if w.marks.returning.ok {
		return w.query + "," + columns
	}
	return w.query + " RETURNING " + columns
}

// finish makes the outcome of a statement that ran as a query.
func (w *write) finish(n int64, user *replay) *outcome {
	return &outcome{result: result{rows: n}, user: user}
}

// plainly runs the statement as GORM built it.
func (w *write) plainly() (*outcome, error) {
	if w.wants {
		n, user, err := w.read(w.query, w.args, layout{}, func(_, _, _ []any) bool { return false })
		return w.finish(n, user), err
	}
	res, err := w.send()
	return &outcome{result: res}, err
}
