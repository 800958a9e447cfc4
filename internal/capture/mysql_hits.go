package capture

import (
	"strings"

	"gorm.io/gorm/clause"
)

// hits is the variable of the session in which an upsert notes the keys of the rows that it changes.
const hits = "@audit_hits"

// noting gives w with a statement that notes which rows were there: the last assignment of ON DUPLICATE KEY
// UPDATE sets a column of the key to itself, and the key's text is added to the variable on the way. key is
// that text as SQL. ok is false if the statement has no such end.
func (w *write) noting() (q *write, key string, ok bool) {
	end := len(w.query)
	if w.marks.returning.ok {
		end = w.marks.returning.at - 1
	}
	if !w.plan.sure || len(w.plan.keys) == 0 || !strings.Contains(w.query[:end], " ON DUPLICATE KEY UPDATE ") {
		return nil, "", false
	}
	var parts []string
	column := ""
	for _, i := range w.plan.keys {
		column = w.st.Quote(clause.Column{Name: w.model.Columns[i]})
		parts = append(parts, "HEX(CONCAT("+column+"))")
	}
	key = "CONCAT_WS(','," + strings.Join(parts, ",") + ")"
	note := "," + column + "=IF((" + hits + ":=CONCAT(" + hits + "," + key + ",';')) IS NULL," + column + "," + column + ")"
	c := *w
	c.query = w.query[:end] + note + w.query[end:]
	return &c, key, true
}

// upsertReturning captures an upsert of several rows. With RETURNING the server gives no count, so the
// statement itself notes which rows it changed: those that somebody else added after we looked are no added
// ones.
func (d mysql) upsertReturning(w *write, u *upsert) (*outcome, error) {
	before, err := d.existing(w, u)
	if err != nil {
		return nil, err
	}
	q, key, ok := w.noting()
	if !ok || len(u.keys) == 0 {
		return w.upsertRows(u, before, w.plan.list, layout{after: true}, nil)
	}
	if _, err := w.conn.ExecContext(w.st.Context, "SET "+hits+" = ''"); err != nil {
		return nil, err
	}
	type row struct {
		image []any
		key   string
	}
	var pending []row
	out, err := q.upsertRows(u, before, w.plan.list+","+key, layout{after: true, extra: 1}, func(image, extra []any) bool {
		k, _ := text(extra[0])
		pending = append(pending, row{image, k})
		return true
	})
	if err != nil || len(pending) == 0 {
		return out, err
	}
	var noted string
	if err := queryAll(w.st.Context, w.conn, "SELECT "+hits, nil, func(scan func(...any) error) error { return scan(&noted) }); err != nil {
		return nil, err
	}
	noted = ";" + noted
	for _, r := range pending {
		switch {
		case !strings.Contains(noted, ";"+r.key+";"):
			w.add(Insert, nil, r.image, "")
		case !w.changesNothing(): // else it is as it was
			w.add(Update, nil, r.image, NoteNoBefore)
		}
	}
	return out, nil
}

// changesNothing reports whether an upsert leaves rows that are there as they are: GORM's driver writes DO
// NOTHING as a column that is set to itself.
func (w *write) changesNothing() bool {
	on, _ := w.st.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	for _, a := range on.DoUpdates {
		if c, ok := a.Value.(clause.Column); !ok || c.Name != a.Column.Name || c.Table != "" {
			return false
		}
	}
	return true
}
