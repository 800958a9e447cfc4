package capture

import (
	"slices"
	"strings"

	"gorm.io/gorm/clause"
)

// notingPostgres gives w with an upsert that notes the key of a row that is there in a setting of the
// transaction, by a condition of DO UPDATE that is always true. inserted is the SQL that tells, in RETURNING,
// that the row is another one. It is for partitioned tables and views, which have no xmax. ok is false for an
// upsert with a condition of its own, or that changes keys.
func (w *write) notingPostgres() (q *write, inserted string, ok bool) {
	end := len(w.query)
	if w.marks.returning.ok {
		end = w.marks.returning.at - 1
	}
	on, _ := w.st.Clauses["ON CONFLICT"].Expression.(clause.OnConflict)
	if !w.plan.sure || len(w.plan.keys) == 0 || len(on.DoUpdates) == 0 || len(on.Where.Exprs) > 0 ||
		!strings.Contains(w.query[:end], " DO UPDATE SET ") {
		return nil, "", false
	}
	var there, here []string
	for _, i := range w.plan.keys {
		name := w.model.Columns[i]
		if slices.ContainsFunc(on.DoUpdates, func(a clause.Assignment) bool { return a.Column.Name == name }) {
			return nil, "", false
		}
		column := w.st.Quote(clause.Column{Name: name})
		there, here = append(there, w.ref+"."+column), append(here, column)
	}
	// What an earlier statement of the transaction noted has another number. It is an argument, so that the
	// text stays the same.
	number := "$" + itoa(len(w.args)+1) + "::text"
	const setting = "'gormtrail.hit'"
	c := *w
	c.query = w.query[:end] + " WHERE set_config(" + setting + "," + number + "||ROW(" + strings.Join(there, ",") + ")::text,true) IS NOT NULL" + w.query[end:]
	c.args = append(slices.Clone(w.args), itoa(int(w.engine.savepoints.Add(1))))
	return &c, "(COALESCE(current_setting(" + setting + ",true),'')<>" + number + "||ROW(" + strings.Join(here, ",") + ")::text)", true
}
