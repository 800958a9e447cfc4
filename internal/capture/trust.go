package capture

import (
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// What we add to a statement may fail where the statement alone would not: a row level policy that hides
// the row, a view that cannot be locked, a column that another program has just dropped. Outside a
// transaction the statement is then run again as it was. In a transaction of PostgreSQL any error is the
// end, so the first statement of its kind runs behind a savepoint, until one has succeeded.

// refusals is how often in a row what we add may fail until it is no more tried.
const refusals = 2

type trustKey struct {
	model *Model
	table string
	kind  kind
}

type trust struct {
	proven   atomic.Bool
	failures atomic.Int32
}

func (e *engine) trustOf(w *write) *trust {
	key := trustKey{w.model, w.name, w.kind}
	if t, ok := e.trusts.Load(key); ok {
		return t.(*trust) //nolint:forcetypeassert // only trusts are stored
	}
	t, _ := e.trusts.LoadOrStore(key, &trust{})
	return t.(*trust) //nolint:forcetypeassert // only trusts are stored
}

// failedOurs notes that err came from what we added, and forgets what was known of the table.
func (e *engine) failedOurs(w *write, t *trust, err error) {
	if !w.table.guarded {
		t.failures.Add(1)
		t.proven.Store(false)
		e.rewrite()
	}
	e.failed(w.st, err)
}

const savepoint = "audit_probe"

// guarded runs f in a transaction, behind a savepoint if it is not proven. ours says that f failed by
// what we added, and that the transaction is as before.
func (e *engine) guarded(w *write, t *trust, f func() (*outcome, error)) (out *outcome, err error, ours bool) {
	traits := e.dialect.traits()
	if traits.doubtful {
		return e.doubtful(w, f)
	}
	probing := traits.fragile && (!t.proven.Load() || w.table.guarded)
	if probing {
		if _, err := w.raw().ExecContext(w.st.Context, "SAVEPOINT "+savepoint); err != nil {
			return nil, err, false // as the statement itself would have failed
		}
	}
	out, err = f()
	if err != nil {
		if added, usable := e.dialect.retry(err); added {
			if usable {
				return nil, err, true
			}
			if probing && w.exec("ROLLBACK TO SAVEPOINT "+savepoint, "RELEASE SAVEPOINT "+savepoint) == nil {
				return nil, err, true
			}
			t.proven.Store(false)
			e.rewrite()
		}
		return nil, err, false
	}
	if probing {
		if err := w.exec("RELEASE SAVEPOINT " + savepoint); err != nil {
			return nil, err, false
		}
	}
	if !t.proven.Load() {
		t.proven.Store(true)
		t.failures.Store(0)
	}
	return out, nil, false
}

// doubtful is guarded for a database that is not tested: always behind a savepoint of its driver, if that
// has them. If setting one fails the statement runs as it is, and has the error that it has.
func (e *engine) doubtful(w *write, f func() (*outcome, error)) (out *outcome, err error, ours bool) {
	point, err := w.setSavepoint()
	if err != nil {
		return nil, errUnread, false
	}
	if out, err = f(); err == nil {
		return out, nil, false
	}
	if added, _ := e.dialect.retry(err); added && w.backTo(point) {
		w.calls.sent = false
		return nil, err, true
	}
	return nil, err, false
}

// raw gives the connection below the one that follows savepoints.
func (w *write) raw() gorm.ConnPool {
	if t := tx.Of(w.conn); t != nil {
		return t.Unwrap()
	}
	return w.conn
}

func (w *write) exec(queries ...string) error {
	for _, q := range queries {
		if _, err := w.raw().ExecContext(w.st.Context, q); err != nil {
			return err
		}
	}
	return nil
}
