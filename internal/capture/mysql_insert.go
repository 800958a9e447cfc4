package capture

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"gorm.io/gorm/clause"
)

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
	if !w.given() {
		id = first
	}
	s, _ := text(id)
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// given reports whether the first row of an INSERT brings the automatic key with it.
func (w *write) given() bool {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	for j, c := range values.Columns {
		if c.Name == w.table.auto && len(values.Values) > 0 {
			v, known, null := plainValue(values.Values[0][j])
			return known && !null && fmt.Sprint(v) != "0"
		}
	}
	return false
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

// maxParameters is how many parameters a helper statement has at most; a server takes 65,535.
const maxParameters = 60_000

// readKeys reads the rows with the values that rows have at some positions, in as many statements as
// their parameters need.
func (w *write) readKeys(rows [][]any, at []int, tail string) (*images, error) {
	all := &images{}
	for chunk := range slices.Chunk(rows, max(maxParameters/len(at), 1)) {
		im, err := w.readKeyChunk(chunk, at, tail)
		if err != nil {
			return nil, err
		}
		if all.add(im); all.over {
			break
		}
	}
	return all, nil
}

// add joins the rows that a further statement read. The keys of its rows are others.
func (im *images) add(more *images) {
	switch {
	case more.over:
		*im = images{over: true}
		return
	case im.rows == nil:
		*im = *more
		return
	}
	im.rows = append(im.rows, more.rows...)
	if more.byKey == nil {
		im.byKey = nil
	}
	if im.byKey != nil {
		maps.Copy(im.byKey, more.byKey)
	}
}

func (w *write) readKeyChunk(rows [][]any, at []int, tail string) (*images, error) {
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
		} else if (err != nil || n > 0) && !w.changesNothing() { // 0: it had these values
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
