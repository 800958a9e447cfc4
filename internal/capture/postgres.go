package capture

import (
	"errors"
	"strings"
)

// postgres captures on PostgreSQL. An update is one statement: a CTE that locks the rows and gives their
// before images, joined by the primary key. A separate SELECT would change which rows are updated when
// others commit in between.
type postgres struct{}

var _ dialect = postgres{}

const describePostgres = `SELECT a.attname, c.relkind = 'r' AND NOT c.relispartition, c.relrowsecurity, has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = to_regclass($1::text)`

// A key is sure if it is not partial or deferrable, and has no NULLs; a table that others inherit from has
// rows that its indexes do not have.
const uniquePostgres = `SELECT i.relname, k.n, COALESCE(a.attname, ''),
	COALESCE(a.attnotnull, false) AND x.indpred IS NULL AND x.indimmediate AND x.indisvalid AND NOT (c.relkind = 'r' AND c.relhassubclass)
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS k(n)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[k.n] AND x.indkey[k.n] <> 0
WHERE x.indrelid = to_regclass($1::text) AND x.indisunique
ORDER BY i.relname, k.n`

func (postgres) describe(w *write, name string) (*table, error) {
	ctx, conn := w.st.Context, w.conn
	t := &table{columns: map[string]bool{}}
	err := queryAll(ctx, conn, describePostgres, []any{name}, func(scan func(...any) error) error {
		var column string
		var readable bool
		if err := scan(&column, &t.ordinary, &t.guarded, &readable); err != nil {
			return err
		}
		if readable {
			t.columns[column] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = queryAll(ctx, conn, uniquePostgres, []any{name}, func(scan func(...any) error) error {
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

// addUnique adds the n-th column of a unique key; an empty one is an expression.
func (t *table) addUnique(index string, n int, column string, sure bool) {
	if n == 0 {
		t.unique = append(t.unique, uniqueKey{name: index, columns: []string{}, sure: true})
	}
	k := &t.unique[len(t.unique)-1]
	k.sure = k.sure && sure
	if column == "" || k.columns == nil {
		k.columns = nil
		return
	}
	k.columns = append(k.columns, column)
}

func (postgres) needsTx(w *write) bool {
	switch {
	case w.kind == create:
		u := w.upsert()
		return u != nil && len(u.keys) > 0
	case w.kind == update, strings.HasPrefix(w.query, "UPDATE"):
		return w.plan.join == "" || w.marks.from.ok
	}
	return false
}

func (d postgres) insert(w *write) (*outcome, error) {
	u := w.upsert()
	if u == nil {
		return w.insertPlain()
	}
	return d.insertOrUpdate(w, u)
}

// insertPlain captures an INSERT that only adds rows.
func (w *write) insertPlain() (*outcome, error) {
	n, user, err := w.read(w.appendReturning(w.plan.list), w.args, layout{after: true}, func(_, after, _ []any) bool {
		return w.add(Insert, nil, after, "")
	})
	if err != nil {
		return nil, err
	}
	return w.finish(n, user), nil
}

func (postgres) remove(w *write) (*outcome, error) { return w.removeReturning() }

// removeReturning captures a DELETE by its RETURNING clause.
func (w *write) removeReturning() (*outcome, error) {
	n, user, err := w.read(w.appendReturning(w.plan.list), w.args, layout{before: true}, func(before, _, _ []any) bool {
		return w.add(Delete, before, nil, "")
	})
	if err != nil {
		return nil, err
	}
	return w.finish(n, user), nil
}

func (d postgres) update(w *write) (*outcome, error) {
	p, ok := w.parts()
	if !ok || p.rest != "" {
		return nil, errUnread
	}
	if w.plan.join == "" || p.from != "" {
		return d.updateInSteps(w, p)
	}
	var b strings.Builder
	b.Grow(len(w.query) + len(w.plan.aliased) + len(w.plan.old) + len(w.plan.full) + len(p.table) + 128)
	b.WriteString(`WITH "` + beforeAlias + `" AS (SELECT `)
	b.WriteString(w.plan.aliased)
	b.WriteString(" FROM ")
	b.WriteString(p.table)
	b.WriteByte(' ')
	b.WriteString(p.where)
	b.WriteString(" FOR NO KEY UPDATE) UPDATE ")
	b.WriteString(p.table)
	b.WriteByte(' ')
	b.WriteString(p.set)
	b.WriteString(` FROM "` + beforeAlias + `" WHERE `)
	b.WriteString(w.plan.join)
	b.WriteString(" RETURNING ")
	if p.returning != "" {
		if p.returning == "*" {
			b.WriteString(w.ref + ".")
		}
		b.WriteString(p.returning)
		b.WriteByte(',')
	}
	b.WriteString(w.plan.old)
	b.WriteByte(',')
	b.WriteString(w.plan.full)
	w.calls.sent = true
	n, user, err := w.read(b.String(), w.args, layout{before: true, after: true}, func(before, after, _ []any) bool {
		return w.add(w.updateOp(), before, after, "")
	})
	if err != nil {
		return nil, err
	}
	return w.finish(n, user), nil
}

// updateInSteps captures an update that cannot be joined with its before images: a locking SELECT, then
// the statement.
func (d postgres) updateInSteps(w *write, p parts) (*outcome, error) {
	query := "SELECT " + w.plan.full + " FROM " + renumber(p.source(), p.first) + " FOR NO KEY UPDATE OF " + w.ref
	before, err := w.readBefore(query, p.vars)
	if err != nil {
		return nil, err
	}
	return w.updateReturning(before, w.plan.full)
}

// renumber gives SQL whose placeholders $n count from n-from on.
func renumber(sql string, from int) string {
	if from == 0 {
		return sql
	}
	var b strings.Builder
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '\'' || c == '"':
			j := strings.IndexByte(sql[i+1:], c)
			if j < 0 {
				j = len(sql) - i - 2
			}
			b.WriteString(sql[i : i+j+2])
			i += j + 2
		case c == '$' && i+1 < len(sql) && sql[i+1] >= '0' && sql[i+1] <= '9':
			n := 0
			for i++; i < len(sql) && sql[i] >= '0' && sql[i] <= '9'; i++ {
				n = n*10 + int(sql[i]-'0')
			}
			b.WriteByte('$')
			b.WriteString(itoa(n - from))
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// retry knows the errors of class 42 (syntax, access, names) and 0A (not supported). Any error ends the
// transaction.
func (postgres) retry(err error) (ours, usable bool) {
	var state interface{ SQLState() string }
	if !errors.As(err, &state) {
		return false, false
	}
	code := state.SQLState()
	return strings.HasPrefix(code, "42") || strings.HasPrefix(code, "0A"), false
}

func (postgres) traits() traits { return traits{fragile: true} }
