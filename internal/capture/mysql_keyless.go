package capture

import (
	"errors"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// insertKeyless captures an INSERT of rows without a key: those that are equal to one of the new rows
// are read before and after.
func (d mysql) insertKeyless(w *write, u *upsert) (*outcome, error) {
	values, _ := w.st.Clauses["VALUES"].Expression.(clause.Values)
	same, vars := w.newRows(values)
	if u != nil || same == "" {
		return nil, errUnread
	}
	query := "SELECT " + w.plan.list + " FROM " + w.quoted + " WHERE " + same
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
		return out, d.count(w, res, w.updateOp())
	}
	if len(before.rows) == 0 {
		return out, nil
	}
	after, err := w.readBefore(query, vars)
	if err != nil {
		return nil, err
	}
	if after.over {
		return out, d.count(w, res, w.updateOp())
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
