package capture

import (
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// mysql captures on MariaDB, since 10.5 with RETURNING, and on MySQL, which has no RETURNING. Updates are a
// locking SELECT, the statement, and a SELECT by key. A plain SELECT would see the snapshot of the
// transaction, not what is changed.
type mysql struct {
	returning bool
}

var _ dialect = mysql{}

func (mysql) traits() traits {
	return traits{anyKey: true, ddl: true, lost: func(err error) bool { return strings.HasPrefix(err.Error(), "Error 1213") }}
}

func (mysql) describe(w *write, name string) (*table, error) {
	schema, bare := any(nil), strings.ReplaceAll(name, "`", "")
	if a, b, ok := strings.Cut(bare, "."); ok {
		schema, bare = a, b
	}
	t := &table{columns: map[string]bool{}, fresh: map[string]bool{}}
	const columns = `SELECT COLUMN_NAME, EXTRA LIKE '%auto_increment%', IS_NULLABLE = 'YES' AND (COLUMN_DEFAULT IS NULL OR COLUMN_DEFAULT = 'NULL')
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? AND PRIVILEGES LIKE '%select%'`
	err := queryAll(w.st.Context, w.conn, columns, []any{schema, bare}, func(scan func(...any) error) error {
		var column string
		var auto, null bool
		if err := scan(&column, &auto, &null); err != nil {
			return err
		}
		t.columns[column] = true
		t.fresh[column] = auto || null
		if auto {
			t.auto = column
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	const keys = `SELECT INDEX_NAME, SEQ_IN_INDEX - 1, IF(SUB_PART IS NULL, COALESCE(COLUMN_NAME, ''), ''), NULLABLE <> 'YES' FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX`
	err = queryAll(w.st.Context, w.conn, keys, []any{schema, bare}, func(scan func(...any) error) error {
		var index, column string
		var n int
		var sure bool
		if err := scan(&index, &n, &column, &sure); err != nil {
			return err
		}
		t.addUnique(index, n, column, sure)
		return nil
	})
	return t, err
}

func (d mysql) needsTx(w *write) bool {
	switch {
	case w.kind == create:
		return !d.returning || w.upsert() != nil
	case w.kind == update, strings.HasPrefix(w.query, "UPDATE"):
		return true
	}
	return !d.returning
}

func (d mysql) remove(w *write) (*outcome, error) {
	if d.returning {
		return w.removeReturning()
	}
	if w.wants || !w.marks.from.ok {
		return nil, errUnread
	}
	rest := w.query[w.marks.from.at:]
	if unsteady(rest) {
		return d.sum(w, Delete)
	}
	before, err := w.readBefore("SELECT "+w.plan.list+" "+rest+" FOR UPDATE", w.args[w.marks.from.vars:])
	if err != nil {
		return nil, err
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	if before.over {
		return &outcome{result: res}, d.count(w, res, Delete)
	}
	for _, row := range before.rows {
		w.add(Delete, row, nil, "")
	}
	return &outcome{result: res}, nil
}

func (d mysql) update(w *write) (*outcome, error) {
	p, ok := w.parts()
	if !ok || w.wants || p.from != "" {
		return nil, errUnread // UPDATE … RETURNING fails by itself
	}
	if unsteady(p.where + " " + p.rest) {
		return d.sum(w, w.updateOp())
	}
	if !w.plan.sure {
		return d.updateKeyless(w, p)
	}
	exprs, vars := w.newKeys()
	query := "SELECT " + exprs + w.plan.full + " FROM " + p.source() + " FOR UPDATE"
	before, next, err := d.before(w, query, append(vars, p.vars...), exprs != "")
	if err != nil {
		return nil, err
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	out := &outcome{result: res}
	if before.over {
		return out, d.count(w, res, w.updateOp())
	}
	if len(before.rows) == 0 {
		return out, nil
	}
	after, err := d.after(w, before, next)
	if err != nil {
		return nil, err
	}
	for i, old := range before.rows {
		key := w.plan.key(old)
		if next != nil {
			key = next[i].key
		}
		row, found := after.byKey[key]
		if !found {
			w.add(w.updateOp(), old, nil, NoteNoAfter)
			continue
		}
		w.add(w.updateOp(), old, row, "")
	}
	return out, nil
}

// nextKey is the key that a row will have.
type nextKey struct {
	values []any
	key    string
}

// newKeys gives the SQL of the whole primary key as the statement sets it, empty if it sets none of it.
func (w *write) newKeys() (exprs string, vars []any) {
	set, _ := w.st.Clauses["SET"].Expression.(clause.Set)
	h := &gorm.Statement{DB: w.st.DB, Table: w.st.Table, TableExpr: w.st.TableExpr, Schema: w.st.Schema, Context: w.st.Context, Clauses: map[string]clause.Clause{}}
	changes := false
	for _, i := range w.plan.keys {
		value := any(clause.Column{Table: w.st.Table, Name: w.model.Columns[i]})
		for _, a := range set {
			if a.Column.Name == w.model.Columns[i] {
				value, changes = a.Value, true
			}
		}
		h.AddVar(&h.SQL, value)
		h.SQL.WriteByte(',')
	}
	if !changes {
		return "", nil
	}
	return h.SQL.String(), h.Vars
}

// before reads the before images, and the keys that the rows will have if they change.
func (mysql) before(w *write, query string, args []any, changes bool) (*images, []nextKey, error) {
	if !changes {
		im, err := w.readBefore(query, args)
		return im, nil, err
	}
	q := w.quietly()
	q.wants = true // the new keys come first, like columns of the caller
	im := &images{}
	var bytes int64
	_, user, err := q.read(query, args, layout{before: true}, func(before, _, _ []any) bool {
		bytes += size(before)
		if im.over || len(im.rows) >= w.engine.cfg.MaxRows || bytes > w.maximum {
			im.over, im.rows = true, nil
			return false
		}
		im.rows = append(im.rows, before)
		return true
	})
	if err != nil || im.over {
		return im, nil, err
	}
	next := make([]nextKey, len(user.rows))
	at := make([]int, len(w.plan.keys))
	for i := range at {
		at[i] = i
	}
	for i, row := range user.rows {
		next[i] = nextKey{row, keyOf(row, at)}
	}
	return im, next, nil
}

func (mysql) after(w *write, before *images, next []nextKey) (*images, error) {
	if next == nil {
		return w.readKeys(before.rows, w.plan.keys, " FOR UPDATE")
	}
	rows, at := make([][]any, len(next)), make([]int, len(w.plan.keys))
	for i := range next {
		rows[i] = next[i].values
	}
	for i := range at {
		at[i] = i
	}
	return w.readKeys(rows, at, " FOR UPDATE")
}

// retry knows the errors of syntax, names and privileges. A failed statement leaves the transaction as
// it was.
func (mysql) retry(err error) (ours, usable bool) {
	if err == nil {
		return false, true
	}
	for _, code := range []string{"1064", "1054", "1142", "1143", "1146", "1356", "1235", "1906", "3105"} {
		if strings.HasPrefix(err.Error(), "Error "+code) {
			return true, true
		}
	}
	return false, true
}
