package capture

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// mysql captures on MariaDB 10.5 or later, and on MySQL 8 or later, which has no RETURNING. Updates are a
// locking SELECT, the statement, and a SELECT by key. A plain SELECT would see the snapshot of the
// transaction, not what is changed.
type mysql struct {
	returning bool
}

var _ dialect = mysql{}

// mysqlOf asks the server what it is: the dialect's own flags are not set if it was told not to ask.
func mysqlOf(db *gorm.DB) (dialect, error) {
	var version string
	if err := db.ConnPool.QueryRowContext(contextOf(db), "SELECT VERSION()").Scan(&version); err != nil {
		return nil, fmt.Errorf("%w: version of the server: %w", ErrDialect, err)
	}
	d, ok := mysqlVersion(version)
	if !ok {
		return nil, fmt.Errorf("%w: server %q, want MariaDB 10.5 or MySQL 8.0 or later", ErrDialect, version)
	}
	return d, nil
}

func mysqlVersion(version string) (d mysql, ok bool) {
	major, minor := versionOf(version)
	if strings.Contains(version, "MariaDB") {
		return mysql{returning: true}, major > 10 || major == 10 && minor >= 5
	}
	return mysql{}, major >= 8
}

func versionOf(s string) (major, minor int) {
	s = strings.TrimPrefix(s, "5.5.5-") // old replication prefix of MariaDB
	a, rest, _ := strings.Cut(s, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, _ = strconv.Atoi(a)
	minor, _ = strconv.Atoi(b)
	return major, minor
}

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

func (d mysql) insert(w *write) (*outcome, error) {
	u := w.upsert()
	switch {
	case !d.returning, u != nil && (!w.wants || w.single(u)):
		return d.insertAndSelect(w, u)
	case u != nil:
		return d.upsertReturning(w, u)
	}
	first, last := any(nil), any(nil)
	at := position(w.model.Columns, w.table.auto)
	n, user, err := w.read(w.appendReturning(w.plan.list), w.args, layout{after: true}, func(_, after, _ []any) bool {
		if at >= 0 {
			if last = after[at]; first == nil {
				first = last
			}
		}
		return w.add(Insert, nil, after, "")
	})
	if err != nil {
		return nil, err
	}
	out := w.finish(n, user)
	out.result = result{rows: n, lastID: d.insertID(w, first, last), hasID: true}
	return out, nil
}

// insertID is what the server reports as the id of an INSERT: the first one that it made, or the last
// one that it was given.
func (mysql) insertID(w *write, first, last any) int64 {
	id := last
	if given, ok := w.given(); ok && !given {
		id = first
	}
	s, _ := text(id)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// given reports whether the first row of an INSERT brings the automatic key with it.
func (w *write) given() (given, ok bool) {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	for j, c := range values.Columns {
		if c.Name == w.table.auto && len(values.Values) > 0 {
			v, known, null := plainValue(values.Values[0][j])
			return known && !null && fmt.Sprint(v) != "0", true
		}
	}
	return false, true
}

// existing reads the rows that an upsert may change: without a lock first, since locking a key that is
// not there locks the gap, and two that do so wait for each other; then those that are there, with one.
func (mysql) existing(w *write, u *upsert) (*images, error) {
	before, err := w.readExisting(u, "")
	if err != nil || before.over || len(before.rows) == 0 || !w.plan.sure {
		return before, err
	}
	return w.readKeys(before.rows, w.plan.keys, " FOR UPDATE")
}

// readKeys reads the rows with the values that rows have at some positions.
func (w *write) readKeys(rows [][]any, at []int, tail string) (*images, error) {
	key := upsertKey{}
	for _, i := range w.plan.keys {
		key.columns = append(key.columns, w.model.Columns[i])
	}
	for _, row := range rows {
		v := make([]any, len(at))
		for j, i := range at {
			v[j] = row[i]
		}
		key.values = append(key.values, v)
	}
	return w.readExisting(&upsert{keys: []upsertKey{key}}, tail)
}

// insertAndSelect captures an INSERT without RETURNING: by the rows that are there afterwards.
func (d mysql) insertAndSelect(w *write, u *upsert) (*outcome, error) {
	if w.wants && (u == nil || !w.single(u)) {
		return nil, errUnread // never without RETURNING in the dialect
	}
	if !w.plan.sure {
		return d.insertKeyless(w, u)
	}
	before := &images{byKey: map[string][]any{}}
	if u != nil {
		var err error
		if before, err = d.existing(w, u); err != nil {
			return nil, err
		}
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	out := &outcome{result: res}
	look, certain := d.inserted(w, u, before, res)
	if !certain || len(look.keys) == 0 || before.over {
		return out, d.countInsert(w, before)
	}
	if w.wants {
		return out, d.one(w, u, look, before, out)
	}
	after, err := w.readExisting(look, " FOR UPDATE")
	if err != nil {
		return nil, err
	}
	if after.over {
		return out, d.countInsert(w, before)
	}
	return out, d.pairInsert(w, u, look, before, after, res)
}

// single reports whether an upsert is of one row whose RETURNING columns we can give from its image. It
// then runs without RETURNING, since only the server's count says whether the row was added.
func (w *write) single(u *upsert) bool {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	return len(values.Values) == 1 && u.certain && w.plan.sure && w.st.Schema != nil && len(w.asked()) > 0
}

// asked gives the positions of the columns of the caller's RETURNING clause; nil if they are not all known.
func (w *write) asked() []int {
	returning, _ := w.st.Clauses["RETURNING"].Expression.(clause.Returning)
	var names []string
	for _, c := range returning.Columns {
		names = append(names, c.Name)
	}
	return positions(w.model, w.table, names)
}

// one captures the upsert of one row, and gives the caller the columns that it asked for.
func (d mysql) one(w *write, u, look *upsert, before *images, out *outcome) error {
	query, vars := w.existingQuery(look, " FOR UPDATE")
	after := &images{}
	_, _, err := w.quietly().read(query, vars, layout{before: true}, func(row, _, _ []any) bool {
		after.rows = append(after.rows, row)
		return true
	})
	if err != nil {
		return err
	}
	at := w.asked()
	out.user = &replay{columns: make([]string, len(at))}
	for j, i := range at {
		out.user.columns[j] = w.model.Columns[i]
	}
	if row := w.written(before, after); row != nil {
		own := make([]any, len(at))
		for j, i := range at {
			own[j] = row[i]
		}
		out.user.rows = append(out.user.rows, own)
	}
	return d.pairInsert(w, u, look, before, after, out.result)
}

// written gives the row that an upsert of one row wrote: several may have been in conflict.
func (w *write) written(before, after *images) []any {
	for _, row := range after.rows {
		if old, ok := before.byKey[w.plan.key(row)]; !ok || !w.plan.equal(old, row) {
			return row
		}
	}
	if len(after.rows) == 0 {
		return nil
	}
	return after.rows[0]
}

// upsertReturning captures an upsert of several rows. The server gives no count with RETURNING, but the
// first number that it made: rows with numbers outside those of the statement were there.
func (d mysql) upsertReturning(w *write, u *upsert) (*outcome, error) {
	before, err := d.existing(w, u)
	if err != nil {
		return nil, err
	}
	auto := position(w.model.Columns, w.table.auto)
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	if given, _ := w.given(); auto < 0 || given || len(u.keys) == 0 {
		return w.upsertRows(u, before, w.plan.list, layout{after: true}, nil)
	}
	const reset, ask = "SELECT LAST_INSERT_ID(0)", "SELECT LAST_INSERT_ID(), @@auto_increment_increment"
	if err := queryAll(w.st.Context, w.conn, reset, nil, func(func(...any) error) error { return nil }); err != nil {
		return nil, err
	}
	var pending [][]any
	out, err := w.upsertRows(u, before, w.plan.list, layout{after: true}, func(row []any) bool {
		pending = append(pending, row)
		return true
	})
	if err != nil || len(pending) == 0 {
		return out, err
	}
	var first, step int64
	if err := queryAll(w.st.Context, w.conn, ask, nil, func(scan func(...any) error) error { return scan(&first, &step) }); err != nil {
		return nil, err
	}
	for _, row := range pending {
		s, _ := text(row[auto])
		if id, err := strconv.ParseInt(s, 10, 64); err == nil && first > 0 && id >= first && id < first+step*int64(len(values.Values)) {
			w.add(Insert, nil, row, "")
		} else {
			w.add(Update, nil, row, NoteNoBefore)
		}
	}
	return out, nil
}

// insertKeyless captures an INSERT of rows without a key: those that are equal to one of the new rows
// are read before and after.
func (d mysql) insertKeyless(w *write, u *upsert) (*outcome, error) {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	same, vars := w.newRows(values)
	if u != nil || same == "" {
		return nil, errUnread
	}
	query := "SELECT " + w.plan.list + " FROM " + w.st.Quote(clause.Table{Name: clause.CurrentTable}) + " WHERE " + same
	before, err := w.readBefore(query, vars)
	if err != nil {
		return nil, err
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	after, err := w.readBefore(query, vars)
	if err != nil {
		return nil, err
	}
	if before.over || after.over {
		return &outcome{result: res}, d.countInsert(w, before)
	}
	_, added := w.plan.difference(before.rows, after.rows)
	for _, row := range added {
		w.add(Insert, nil, row, "")
	}
	return &outcome{result: res}, nil
}

// newRows gives the condition for rows that are equal to one of the new ones, as far as their values are
// known and can be compared exactly.
func (w *write) newRows(values clause.Values) (condition string, vars []any) {
	var or []string
	for _, row := range values.Values {
		var and []string
		for j, c := range values.Columns {
			v, known, _ := plainValue(row[j])
			i := position(w.model.Columns, c.Name)
			switch v.(type) {
			case float32, float64:
				known = false
			}
			if !known || i < 0 || w.plan.json[i] {
				continue
			}
			and = append(and, w.st.Quote(c)+" <=> ?")
			vars = append(vars, v)
		}
		if len(and) == 0 {
			return "", nil
		}
		or = append(or, "("+strings.Join(and, " AND ")+")")
	}
	return strings.Join(or, " OR "), vars
}

// pairInsert tells added rows from changed ones. The count of the server, one for an added row and two
// for a changed one, shows if somebody else added a row after we looked; then none counts as added. Where
// rows may be somebody else's, only a count that fits says that they are not.
func (d mysql) pairInsert(w *write, u, look *upsert, before, after *images, res sql.Result) error {
	var added [][]any
	var changed, equal int64
	for _, row := range after.rows {
		old, found := before.take(row, w.plan.keys)
		if !found && u != nil {
			old, found = before.takeChanged(w, u, row, w.plan.keys)
		}
		switch {
		case !found:
			added = append(added, row)
		case w.plan.equal(old, row):
			equal++
		default:
			changed++
			w.add(Update, old, row, "")
		}
	}
	n, err := res.RowsAffected()
	want := int64(len(added)) + 2*changed
	certain := u == nil || err == nil && (n == want || n == want+equal) // with clientFoundRows equal rows count
	if !certain && (!look.certain || len(added) > 1) {
		err := d.countInsert(w, before) // which of them was there is not known
		w.op = Update
		return err
	}
	for _, row := range added {
		if certain {
			w.add(Insert, nil, row, "")
		} else {
			w.add(Update, nil, row, NoteNoBefore)
		}
	}
	return nil
}

// countInsert gives a summary of an INSERT whose rows are not known.
func (mysql) countInsert(w *write, before *images) error {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	w.drop()
	w.changed, w.op = int64(max(len(values.Values), 1)), Insert
	if before.over || len(before.rows) > 0 {
		w.op = Update
	}
	return nil
}

// count gives a summary of an update whose rows are not known.
func (mysql) count(w *write, res sql.Result) error {
	n, err := res.RowsAffected()
	w.drop()
	w.changed, w.op = n, w.updateOp()
	return err
}

// inserted gives the keys of the rows that an INSERT added or changed. certain is false if not all are
// known.
func (mysql) inserted(w *write, u *upsert, before *images, res sql.Result) (look *upsert, certain bool) {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	var names []string
	for _, i := range w.plan.keys {
		names = append(names, w.model.Columns[i])
	}
	look = &upsert{certain: true}
	if u != nil {
		look.keys = append(look.keys, u.keys...)
		for _, k := range u.keys {
			if len(k.values) == len(values.Values) {
				return look, u.certain // it finds each row
			}
		}
	}
	id, _ := res.LastInsertId()
	if len(names) == 1 && names[0] == w.table.auto {
		key, made, ok := autoKeys(names[0], values, id)
		if len(key.values) > 0 {
			look.keys = append(look.keys, key)
		}
		if u == nil || made == 0 {
			return look, ok
		}
		// If rows were there under another key, an id may be of somebody else's row.
		look.certain = w.under(before.rows, key)
		return look, ok && u.certain
	}
	if u != nil {
		return look, u.certain
	}
	key, ok := w.table.keyValues(names, values)
	look.keys = append(look.keys, key)
	return look, ok && len(key.values) == len(values.Values)
}

// under reports whether each row has one of the values of the single-column key.
func (w *write) under(rows [][]any, key upsertKey) bool {
	has := map[string]bool{}
	for _, v := range key.values {
		has[fmt.Sprint(v[0])] = true
	}
	at := position(w.model.Columns, key.columns[0])
	for _, row := range rows {
		if s, _ := text(row[at]); !has[s] {
			return false
		}
	}
	return true
}

// autoKeys gives the keys of the new rows, where the database makes those that are not given: one after
// the other from id.
func autoKeys(name string, values clause.Values, id int64) (key upsertKey, made int, ok bool) {
	key.columns = []string{name}
	at := -1
	for j, c := range values.Columns {
		if c.Name == name {
			at = j
		}
	}
	next := id
	for _, row := range values.Values {
		if at >= 0 {
			v, known, null := plainValue(row[at])
			s := fmt.Sprint(v)
			if known && !null && s != "0" {
				key.values = append(key.values, []any{v})
				if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= next {
					next = n + 1 // the server goes on after the highest
				}
				continue
			}
			if !known && !unset(row[at]) {
				return key, made, false
			}
		}
		key.values = append(key.values, []any{next})
		next++
		made++
	}
	if len(values.Values) == 0 { // VALUES()
		key.values = append(key.values, []any{id})
		made++
	}
	return key, made, id > 0 || made == 0
}

func (d mysql) remove(w *write) (*outcome, error) {
	if d.returning {
		return w.removeReturning()
	}
	if w.wants || !w.marks.from.ok {
		return nil, errUnread
	}
	before, err := w.readBefore("SELECT "+w.plan.list+" "+w.query[w.marks.from.at:]+" FOR UPDATE", w.args[w.marks.from.vars:])
	if err != nil {
		return nil, err
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	if before.over {
		w.drop()
		w.op = Delete
		w.changed, err = res.RowsAffected()
		return &outcome{result: res}, err
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
		return out, d.count(w, res)
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
	_, user, err := q.read(query, args, layout{before: true}, func(before, _, _ []any) bool {
		im.rows = append(im.rows, before)
		return true
	})
	if err != nil {
		return nil, nil, err
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

// updateKeyless captures an update of rows without a key: all rows that are equal to one of the matched
// rows in the columns that the statement does not set are read before and after, and what is in both
// was not changed.
func (d mysql) updateKeyless(w *write, p parts) (*outcome, error) {
	matched, err := w.readBefore("SELECT "+w.plan.full+" FROM "+p.source()+" FOR UPDATE", p.vars)
	if err != nil {
		return nil, err
	}
	same, vars := w.sameRows(matched.rows, w.fixed())
	if !matched.over && len(matched.rows) > 0 && same == "" {
		if same, vars, err = w.oldOrNew(p, matched.rows); err != nil {
			return nil, err
		}
	}
	query := "SELECT " + w.plan.full + " FROM " + p.table + " WHERE " + same + " FOR UPDATE"
	before := matched
	if len(matched.rows) > 0 {
		if before, err = w.readBefore(query, vars); err != nil {
			return nil, err
		}
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	out := &outcome{result: res}
	if before.over {
		return out, d.count(w, res)
	}
	if len(before.rows) == 0 {
		return out, nil
	}
	after, err := w.readBefore(query, vars)
	if err != nil {
		return nil, err
	}
	if after.over {
		return out, d.count(w, res)
	}
	left, added := w.plan.difference(before.rows, after.rows)
	if len(added) < len(left) {
		for _, row := range left {
			w.add(w.updateOp(), row, nil, NoteNoAfter)
		}
	} else if len(added) > 0 {
		w.pair(&images{rows: left}, added)
	}
	return out, nil
}

// oldOrNew gives the condition for rows that are equal to one of rows, or to what it will be, for a
// statement that sets every column.
func (w *write) oldOrNew(p parts, rows [][]any) (condition string, vars []any, err error) {
	set, _ := w.st.Clauses["SET"].Expression.(clause.Set)
	h := &gorm.Statement{DB: w.st.DB, Table: w.st.Table, TableExpr: w.st.TableExpr, Schema: w.st.Schema, Context: w.st.Context, Clauses: map[string]clause.Clause{}}
	for n, i := range w.plan.read {
		value := any(clause.Column{Table: w.st.Table, Name: w.model.Columns[i]})
		for _, a := range set {
			if a.Column.Name == w.model.Columns[i] {
				value = a.Value
			}
		}
		if n > 0 {
			h.SQL.WriteByte(',')
		}
		h.AddVar(&h.SQL, value)
	}
	next, err := w.readBefore("SELECT "+h.SQL.String()+" FROM "+p.source(), append(h.Vars, p.vars...))
	if err != nil || next.over {
		return "", nil, errors.Join(err, errUnread)
	}
	condition, vars = w.sameRows(append(next.rows, rows...), w.plan.read)
	if condition == "" {
		return "", nil, errUnread
	}
	return condition, vars, nil
}

// sameRows gives the condition for rows that are equal to one of rows at the positions. Columns whose values cannot be compared exactly are left out, which finds more rows.
func (w *write) sameRows(rows [][]any, fixed []int) (condition string, vars []any) {
	var or []string
	seen := map[string]bool{}
	for _, row := range rows {
		if k := keyOf(row, fixed); seen[k] {
			continue
		} else {
			seen[k] = true
		}
		var and []string
		for _, i := range fixed {
			switch row[i].(type) {
			case float32, float64:
				continue
			}
			if w.plan.json[i] {
				continue
			}
			and = append(and, w.st.Quote(clause.Column{Name: w.model.Columns[i]})+" <=> ?")
			vars = append(vars, row[i])
		}
		if len(and) == 0 {
			return "", nil
		}
		or = append(or, "("+strings.Join(and, " AND ")+")")
	}
	return strings.Join(or, " OR "), vars
}

// difference takes away the rows that are in both.
func (p *plan) difference(before, after [][]any) (left, added [][]any) {
	count := map[string]int{}
	for _, row := range after {
		count[keyOf(row, p.read)]++
	}
	for _, row := range before {
		if k := keyOf(row, p.read); count[k] > 0 {
			count[k]--
		} else {
			left = append(left, row)
		}
	}
	for _, row := range after {
		if k := keyOf(row, p.read); count[k] > 0 {
			count[k]--
			added = append(added, row)
		}
	}
	return left, added
}

// retry knows the errors of syntax, names and privileges. A failed statement leaves the transaction as
// it was.
func (mysql) retry(err error) (ours, usable bool) {
	if err == nil {
		return false, true
	}
	for _, code := range []string{"1064", "1054", "1142", "1143", "1146", "1356", "1235"} {
		if strings.HasPrefix(err.Error(), "Error "+code) {
			return true, true
		}
	}
	return false, true
}
