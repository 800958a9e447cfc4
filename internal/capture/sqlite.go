package capture

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// sqlite captures on SQLite 3.35 or later. There is one writer at a time: a statement that changes
// nothing takes the write lock, so that what is read after it is what will be changed. Reading first
// would make the transaction a reader that cannot become a writer when others wait ("database is
// locked", at once).
type sqlite struct{}

var _ dialect = sqlite{}

func (d sqlite) describe(w *write, name string) (*table, error) {
	ctx, conn := w.st.Context, w.conn
	if w.unit != nil {
		// Reading the catalogue makes a reader as well. If it fails, so will the statement itself.
		_ = d.prime(w, name)
	}
	schema, bare := "main", strings.ReplaceAll(name, "`", "")
	if i := strings.IndexByte(bare, '.'); i >= 0 {
		schema, bare = bare[:i], bare[i+1:]
	}
	t := &table{columns: map[string]bool{}, fresh: map[string]bool{}}
	var keys []string
	const columns = `SELECT name, pk, hidden, upper(type) = 'INTEGER', dflt_value IS NULL, "notnull" FROM pragma_table_xinfo(?, ?)`
	rowid, whole := false, true
	filled := map[string]bool{} // columns without NULLs
	err := queryAll(ctx, conn, columns, []any{bare, schema}, func(scan func(...any) error) error {
		var column string
		var pk, hidden int
		var integer, unset, notNull bool
		if err := scan(&column, &pk, &hidden, &integer, &unset, &notNull); err != nil {
			return err
		}
		filled[column] = notNull
		whole = whole && (pk == 0 || notNull)
		t.fresh[column] = unset && pk == 0
		rowid = rowid || pk == 1 && integer
		if hidden != 1 {
			t.columns[column] = true
		}
		if pk > 0 {
			keys = append(keys, column)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(keys) == 1 && rowid {
		t.fresh[keys[0]] = true // the row number, which is one more than the highest
	}
	if len(keys) > 0 {
		t.unique = append(t.unique, uniqueKey{name: "primary key", columns: keys, sure: whole || len(keys) == 1 && rowid})
	}
	const indexes = `SELECT l.name, i.seqno, COALESCE(i.name, ''), l.partial = 0 FROM pragma_index_list(?, ?) l, pragma_index_info(l.name, ?) i
WHERE l."unique" = 1 AND l.origin <> 'pk' ORDER BY l.name, i.seqno`
	err = queryAll(ctx, conn, indexes, []any{bare, schema, schema}, func(scan func(...any) error) error {
		var index, column string
		var n int
		var all bool
		if err := scan(&index, &n, &column, &all); err != nil {
			return err
		}
		t.addUnique(index, n, column, all && filled[column])
		return nil
	})
	return t, err
}

func (sqlite) needsTx(w *write) bool {
	switch {
	case w.kind == create:
		return w.upsert() != nil || w.wantsID()
	case w.kind == update, strings.HasPrefix(w.query, "UPDATE"):
		return true
	}
	return false
}

// locked is what a unit notes when its transaction has the write lock of the table's database file.
func (w *write) locked() string {
	if file, _, ok := strings.Cut(w.name, "."); ok {
		return "prime " + file
	}
	return "prime"
}

// wrote notes that a statement has taken the write lock.
func (w *write) wrote() {
	if w.unit != nil {
		w.unit.Note(w.locked())
	}
}

// prime takes the write lock, once for each transaction and database file.
func (sqlite) prime(w *write, table string) error {
	if w.unit != nil && w.unit.Noted(w.locked()) {
		return nil
	}
	_, err := w.conn.ExecContext(w.st.Context, "DELETE FROM "+table+" WHERE 0")
	if err != nil && strings.Contains(err.Error(), "because it is a view") {
		return errUnread // its triggers may do what is asked for all the same
	}
	if err == nil {
		w.wrote()
	}
	return err
}

// grace is how long a statement may go on after its context has ended.
const grace = 100 * time.Millisecond

// fetchSQLite sends a query whose rows can be read after the context of the statement has ended. SQLite has
// done all that a statement does when it gives the first row, and drivers give an error if the context
// ends just then: the change would stay without its record. A statement that takes long is interrupted.
func fetchSQLite(w *write, query string, args []any) (*sql.Rows, error) {
	outer := w.st.Context
	if outer.Done() == nil || outer.Err() != nil {
		return w.conn.QueryContext(outer, query, args...)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(outer))
	sent := make(chan struct{})
	defer close(sent)
	stop := context.AfterFunc(outer, func() {
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case <-late.C:
			cancel()
		case <-sent:
		}
	})
	defer stop()
	return w.conn.QueryContext(ctx, query, args...) //nolint:sqlclosecheck // the caller closes them
}

func (d sqlite) insert(w *write) (out *outcome, err error) {
	if u := w.upsert(); u != nil {
		out, err = d.insertOrUpdate(w, u)
	} else {
		out, err = w.insertPlain()
	}
	if err == nil {
		w.wrote()
	}
	if err == nil && w.wantsID() {
		err = w.lastID(out)
	}
	return out, err
}

// wantsID reports whether somebody will ask the result for the id: GORM if the statement has no
// RETURNING, or the caller by gorm.WithResult.
func (w *write) wantsID() bool {
	if w.wants || w.kind != create {
		return false
	}
	if w.st.Result != nil || w.st.Schema == nil {
		return true
	}
	pk := w.st.Schema.PrioritizedPrimaryField
	return pk != nil && pk.HasDefaultValue
}

func (w *write) lastID(out *outcome) error {
	r := out.result.(result) //nolint:forcetypeassert // finish made it
	err := queryAll(w.st.Context, w.conn, "SELECT last_insert_rowid()", nil, func(scan func(...any) error) error {
		r.hasID = true
		return scan(&r.lastID)
	})
	out.result = r
	return err
}

func (d sqlite) remove(w *write) (*outcome, error) {
	out, err := w.removeReturning()
	if err == nil {
		w.wrote()
	}
	return out, err
}

func (d sqlite) update(w *write) (*outcome, error) {
	p, ok := w.parts()
	if !ok || p.rest != "" || strings.HasPrefix(p.table, "OR ") {
		return nil, errUnread
	}
	if err := d.prime(w, p.table); err != nil {
		return nil, err
	}
	before, err := w.readBefore("SELECT "+w.plan.full+" FROM "+p.source(), p.vars)
	if err != nil {
		return nil, err
	}
	return w.updateReturning(before, w.plan.list)
}

// retry knows that a failed statement has no effect on SQLite. Only what cannot come from the caller's
// own text is ours.
func (sqlite) retry(err error) (ours, usable bool) {
	if err == nil {
		return false, true
	}
	s := err.Error()
	return strings.Contains(s, "RETURNING") || strings.Contains(s, "no such column"), true
}

func (sqlite) traits() traits { return traits{lazy: true} }
