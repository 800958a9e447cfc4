package capture

import (
	"database/sql/driver"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// upsert is an INSERT that may change rows that are there.
type upsert struct {
	// keys are the unique keys by which existing rows are found, with the values of the new rows.
	keys []upsertKey
	// certain says that every row that may be changed is found by keys.
	certain bool
	// replaces says that existing rows are deleted (INSERT OR REPLACE).
	replaces bool
}

type upsertKey struct {
	columns []string
	values  [][]any
}

// upsert says which existing rows the statement may change, nil if none: a plain INSERT, and DO NOTHING,
// whose RETURNING gives the added rows only.
func (w *write) upsert() *upsert {
	if w.upsertDone {
		return w.upsertPlan
	}
	w.upsertDone = true
	w.upsertPlan = w.findUpsert()
	return w.upsertPlan
}

func (w *write) findUpsert() *upsert {
	var on clause.OnConflict
	c, ok := w.st.Clauses["ON CONFLICT"]
	if ok {
		on, ok = c.Expression.(clause.OnConflict)
	}
	insert, _ := w.st.Clauses["INSERT"].Expression.(clause.Insert)
	replaces := strings.EqualFold(strings.Join(strings.Fields(insert.Modifier), " "), "OR REPLACE")
	anyKey := w.engine.dialect.traits().anyKey
	if !ok && !replaces || on.DoNothing && !replaces && !anyKey {
		return nil
	}
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	u := &upsert{certain: true, replaces: replaces}
	for _, target := range w.targets(&on, replaces || anyKey) {
		if target == nil { // an expression or unknown constraint
			u.certain = false
			continue
		}
		key, certain := w.table.keyValues(target, values)
		u.certain = u.certain && certain
		if len(key.values) > 0 {
			u.keys = append(u.keys, key)
		}
	}
	return u
}

// targets gives the columns of the unique keys that may be in conflict; a nil one cannot be looked up.
func (w *write) targets(on *clause.OnConflict, all bool) [][]string {
	switch {
	case on.OnConstraint != "" && !all:
		name := strings.Trim(on.OnConstraint, "\"`")
		for _, k := range w.table.unique {
			if k.name == name {
				return [][]string{k.columns}
			}
		}
		return [][]string{nil}
	case len(on.Columns) > 0 && !all:
		var columns []string
		for _, c := range on.Columns {
			if c.Raw || !w.table.readable(c.Name) {
				return [][]string{nil}
			}
			columns = append(columns, c.Name)
		}
		return [][]string{columns}
	}
	var keys [][]string
	for _, k := range w.table.unique {
		keys = append(keys, k.columns)
	}
	return keys
}

// keyValues gives the values of the new rows for a unique key. certain is false if a row may be in
// conflict by a value that is not known here.
func (t *table) keyValues(columns []string, values clause.Values) (key upsertKey, certain bool) {
	key.columns = columns
	at := make([]int, len(columns))
	for i, c := range columns {
		at[i] = -1
		for j, v := range values.Columns {
			if v.Name == c {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return key, t.fresh[c] // the database makes the value
		}
	}
	certain = true
	for _, row := range values.Values {
		var k []any
		for _, j := range at {
			v, known, null := plainValue(row[j])
			if null {
				k = nil // NULLs are never in conflict
				break
			}
			if !known {
				certain, k = certain && unset(row[j]) && t.fresh[values.Columns[j].Name], nil
				break
			}
			k = append(k, v)
		}
		if k != nil {
			key.values = append(key.values, k)
		}
	}
	return key, certain
}

// plainValue says whether v is a value that can be bound again.
func plainValue(v any) (value any, known, null bool) {
	switch x := v.(type) {
	case nil:
		return nil, true, true
	case clause.Expression, *gorm.DB, gorm.Valuer, clause.Expr, clause.Column:
		return nil, false, false
	case driver.Valuer:
		rv := reflect.ValueOf(x)
		if rv.Kind() == reflect.Pointer && rv.IsNil() {
			return nil, true, true
		}
		p, err := x.Value()
		if err != nil {
			return nil, false, false
		}
		return v, true, p == nil
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil, true, true
	}
	return v, true, false
}

// unset says whether v asks for the value that the database makes.
func unset(v any) bool {
	e, ok := v.(clause.Expr)
	return ok && (e.SQL == "NULL" || e.SQL == "DEFAULT")
}

// assigned gives the columns that an UPDATE sets.
func (w *write) assigned() map[string]bool {
	set, _ := w.st.Clauses["SET"].Expression.(clause.Set)
	m := make(map[string]bool, len(set))
	for _, a := range set {
		m[a.Column.Name] = true
	}
	return m
}

// readExisting reads the rows that are there under the keys of the new ones.
func (w *write) readExisting(u *upsert, tail string) (*images, error) {
	if len(u.keys) == 0 {
		return &images{byKey: map[string][]any{}}, nil
	}
	query, vars := w.existingQuery(u, tail)
	return w.readBefore(query, vars)
}

func (w *write) existingQuery(u *upsert, tail string) (query string, vars []any) {
	h := &gorm.Statement{
		DB: w.st.DB, Table: w.st.Table, TableExpr: w.st.TableExpr, Schema: w.st.Schema,
		Context: w.st.Context, Clauses: map[string]clause.Clause{},
	}
	h.SQL.WriteString("SELECT " + w.plan.list + " FROM ")
	h.QuoteTo(&h.SQL, clause.Table{Name: clause.CurrentTable})
	h.SQL.WriteString(" WHERE ")
	_, rows := w.engine.dialect.(sqlite)
	for i, k := range u.keys {
		if i > 0 {
			h.SQL.WriteString(" OR ")
		}
		k.build(h, rows)
	}
	h.SQL.WriteString(tail)
	return h.SQL.String(), h.Vars
}

// build writes the condition that finds the rows of the key. rows says that the database wants the word VALUES
// in front of rows of several columns.
func (k *upsertKey) build(h *gorm.Statement, rows bool) {
	columns := make([]clause.Column, len(k.columns))
	for i, c := range k.columns {
		columns[i] = clause.Column{Name: c}
	}
	if len(columns) == 1 {
		h.QuoteTo(&h.SQL, columns[0])
	} else {
		h.QuoteTo(&h.SQL, columns)
	}
	h.SQL.WriteString(" IN (")
	if len(columns) > 1 && rows {
		h.SQL.WriteString("VALUES ")
	}
	for i, v := range k.values {
		if i > 0 {
			h.SQL.WriteByte(',')
		}
		if len(columns) == 1 {
			h.AddVar(&h.SQL, v[0])
		} else {
			h.AddVar(&h.SQL, v)
		}
	}
	h.SQL.WriteByte(')')
}

// insertOrUpdate captures an upsert. xmax tells an added row from a changed one, which also finds rows
// that others added between the two statements.
func (postgres) insertOrUpdate(w *write, u *upsert) (*outcome, error) {
	before, err := w.readExisting(u, " FOR NO KEY UPDATE")
	if err != nil {
		return nil, err
	}
	columns, l := w.plan.list, layout{after: true}
	if w.table.ordinary {
		columns, l.extra = columns+",(xmax = 0)", 1
	} else if q, inserted, ok := w.notingPostgres(); ok {
		w, columns, l.extra = q, columns+","+inserted, 1
	}
	return w.upsertReturning(u, before, columns, l)
}

func (d sqlite) insertOrUpdate(w *write, u *upsert) (*outcome, error) {
	if err := d.prime(w, w.quoted); err != nil {
		return nil, err
	}
	before, err := w.readExisting(u, "")
	if err != nil {
		return nil, err
	}
	return w.upsertReturning(u, before, w.plan.list, layout{after: true})
}

func (w *write) upsertReturning(u *upsert, before *images, columns string, l layout) (*outcome, error) {
	return w.upsertRows(u, before, columns, l, nil)
}

// upsertRows is upsertReturning with rows that were not found before handed to unfound, if it is not nil.
func (w *write) upsertRows(u *upsert, before *images, columns string, l layout, unfound func(row, extra []any) bool) (*outcome, error) {
	if before.over {
		w.drop()
	}
	keys := w.matchKeys(u)
	before.index(keys)
	n, user, err := w.read(w.appendReturning(columns), w.args, l, func(_, after, extra []any) bool {
		inserted, known := false, false
		if len(extra) > 0 {
			inserted, known = extra[0].(bool)
		}
		if before.over {
			w.count(inserted)
			return false
		}
		old, found := before.take(after, keys)
		if !found && !(known && inserted) {
			old, found = before.takeChanged(w, u, after, keys)
		}
		switch {
		case found && !(known && inserted):
			return w.add(Update, old, after, "")
		case unfound != nil:
			return unfound(after, extra)
		case inserted || !known && u.certain:
			return w.add(Insert, nil, after, "")
		default:
			return w.add(Update, nil, after, NoteNoBefore)
		}
	})
	if err != nil {
		return nil, err
	}
	if u.replaces {
		for _, row := range before.rows {
			if _, ok := before.byKey[keyOf(row, keys)]; ok {
				w.add(Delete, row, nil, "")
			}
		}
	}
	return w.finish(n, user), nil
}

// matchKeys gives the positions by which returned rows are matched with those before: keys of the plan that
// are sure, or the key in conflict.
func (w *write) matchKeys(u *upsert) []int {
	if w.plan.keys != nil && w.plan.sure || len(u.keys) == 0 {
		return w.plan.keys
	}
	var at []int
	for _, c := range u.keys[0].columns {
		i := position(w.model.Columns, c)
		if i < 0 {
			return nil
		}
		at = append(at, i)
	}
	return at
}

// index makes the images findable by keys.
func (im *images) index(keys []int) {
	im.byKey = make(map[string][]any, len(im.rows))
	for _, row := range im.rows {
		im.byKey[keyOf(row, keys)] = row
	}
}

// take gives the before image of a row, once.
func (im *images) take(after []any, keys []int) (old []any, found bool) {
	if len(keys) == 0 {
		return nil, false
	}
	if im.byKey == nil {
		im.index(keys)
	}
	k := keyOf(after, keys)
	old, found = im.byKey[k]
	delete(im.byKey, k)
	return old, found
}

// takeChanged gives the before image of a row whose primary key the statement has changed, by the key that
// was in conflict.
func (im *images) takeChanged(w *write, u *upsert, after []any, keys []int) (old []any, found bool) {
	if len(keys) == 0 || len(im.byKey) == 0 {
		return nil, false
	}
	if im.byConflict == nil {
		im.byConflict = make(map[string][]any, len(im.rows)*len(u.keys))
		for _, row := range im.rows {
			for i, k := range u.keys {
				if at := positions(w.model, w.table, k.columns); at != nil {
					im.byConflict[itoa(i)+":"+keyOf(row, at)] = row
				}
			}
		}
	}
	for i, k := range u.keys {
		at := positions(w.model, w.table, k.columns)
		if at == nil {
			continue
		}
		row, ok := im.byConflict[itoa(i)+":"+keyOf(after, at)]
		if !ok {
			continue
		}
		if _, left := im.byKey[keyOf(row, keys)]; left {
			delete(im.byKey, keyOf(row, keys))
			return row, true
		}
	}
	return nil, false
}

func (w *write) count(inserted bool) {
	w.changed++
	w.op = Update
	if inserted {
		w.op = Insert
	}
}
