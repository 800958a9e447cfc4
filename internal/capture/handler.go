package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// handler gives GORM's handler orig with its main statement captured.
func (e *engine) handler(k kind, orig func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		st := db.Statement
		if db.Error != nil || db.DryRun || captureOf(st.ConnPool) != nil {
			orig(db)
			return
		}
		m := e.model(st)
		if m == nil {
			orig(db)
			return
		}
		e.capture(db, k, orig, m)
	}
}

// capture runs GORM's handler with a pool that captures in Statement.ConnPool.
func (e *engine) capture(db *gorm.DB, k kind, orig func(*gorm.DB), m *Model) {
	st := db.Statement
	if e.strange(st) {
		e.asItIs(db, k, orig, m)
		return
	}
	saved := tx.Wrap(st.ConnPool, e.tx)
	p := &pool{ConnPool: saved, st: st}
	p.run = func(query string, args []any, rows bool) (*outcome, error) {
		w := &write{
			engine: e, st: st, model: m, kind: k, marks: &p.marks,
			query: query, args: args, wants: rows, conn: saved, calls: &calls{},
		}
		return e.protected(w)
	}
	st.ConnPool = p
	if c, ok := saved.(gorm.TxCommitter); ok {
		st.ConnPool = &txPool{p, c}
	}
	standing := st.ConnPool
	defer func() {
		if st.ConnPool == standing {
			st.ConnPool = saved
		}
	}()
	orig(db)
}

// protected is run without panics of our own. One before the main statement was sent leaves it to run as
// it is; one after it fails the statement, since what it did is not known any more. Panics of the
// application's values go on to the application.
func (e *engine) protected(w *write) (out *outcome, err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if w.calls.inside {
			panic(r)
		}
		err = fmt.Errorf("%w: panic: %v\n%s", ErrCapture, r, debug.Stack())
		e.failed(w.st, err)
		if !w.calls.sent {
			w.collector = &collector{write: w}
			out, err = e.plainly(w)
		}
	}()
	return e.run(w)
}

// run runs the main statement, in a transaction of its own if it needs one, and holds or releases what
// it changed.
func (e *engine) run(w *write) (*outcome, error) {
	unit, observed := tx.Find(w.conn)
	inPool := unit == nil && observed
	if unit != nil && !unit.Open() { // its end was sent as text: statements commit by themselves
		if t := ended(w.conn); t != nil && e.hooks.InTx {
			var out *outcome
			err := byText(w.st.Context, t, func() (err error) {
				out, err = e.run(w)
				return err
			})
			if err != nil {
				return nil, err
			}
			return out, nil
		}
		unit = nil
	}
	w.unit = unit
	frame := frameOf(w.st.Context)
	held := int64(0)
	if unit != nil {
		held = unit.Bytes()
	} else if frame != nil {
		held = frame.Bytes()
	}
	w.collector = &collector{write: w, maximum: min(e.cfg.MaxBytes, max(e.cfg.MaxTxBytes-held, 0))}
	w.target()
	ready := e.safe(w.st, w.prepare) == nil

	if !inPool {
		out, err := e.execute(w, ready, unit != nil || !observed)
		if err != nil {
			if unit != nil { // prepared statements bypass the transaction's own look
				_ = unit.Check(err)
			}
			return nil, err
		}
		if unit == nil && !observed {
			w.unobserved()
		}
		return out, e.deliver(w, unit)
	}
	if !e.hooks.InTx && (!ready || !e.dialect.needsTx(w)) {
		out, err := e.execute(w, ready, false)
		if err != nil {
			e.inDoubt(w, err)
			return nil, err
		}
		return out, e.deliver(w, frame)
	}
	return e.runInTx(w, ready, frame)
}

// runInTx runs the statement in a transaction of its own, which ends before the caller sees the result:
// a later error of the caller's must not undo what would have stayed without auditing.
func (e *engine) runInTx(w *write, ready bool, frame *tx.Unit) (out *outcome, err error) {
	begin := func() (gorm.TxCommitter, error) {
		b, ok := w.conn.(gorm.ConnPoolBeginner)
		if !ok {
			return nil, gorm.ErrInvalidTransaction
		}
		c, err := b.BeginTx(w.st.Context, nil)
		if err != nil {
			return nil, err
		}
		w.unit, _ = tx.Find(c)
		w.conn = c
		return c.(gorm.TxCommitter), nil //nolint:forcetypeassert // BeginTx of ours gives a transaction
	}
	outer := w.conn
	t, err := begin()
	if errors.Is(err, gorm.ErrInvalidTransaction) { // a pool that cannot begin
		w.unit = nil
		return e.execute(w, false, true)
	}
	if err != nil && e.dialect.traits().doubtful { // it may have no transactions
		w.unit = nil
		return e.execute(w, false, true)
	}
	if err != nil {
		return nil, err
	}
	committed := false
	defer func() {
		if !committed {
			_ = t.Rollback() // after an error or panic, which is what the caller learns of
		}
		w.conn = outer
	}()
	out, err = e.execute(w, ready, true)
	if ours, _ := e.dialect.retry(err); err != nil && ours && ready && !e.strict(w) {
		_ = t.Rollback() // nothing else is in it
		w.conn = outer
		if t, err = begin(); err != nil {
			return nil, err
		}
		out, err = e.execute(w, false, true)
	}
	if err != nil {
		return nil, err
	}
	holder := w.unit
	if frame != nil {
		holder = nil
	}
	if holder != nil {
		if err := e.deliver(w, holder); err != nil {
			return nil, err
		}
	}
	committed = true
	if err := t.Commit(); err != nil {
		if frame != nil && w.unit != nil && w.unit.Outcome() == tx.Unknown {
			e.maybeCommitted(w, err)
		}
		return nil, err
	}
	if frame != nil {
		return out, e.deliver(w, frame)
	}
	return out, nil
}

// prepare gets what is known of the table.
func (w *write) prepare() error {
	name := w.quoted
	t, err := w.engine.tableOf(w, name)
	if err != nil {
		return err
	}
	w.table = t
	w.plan = w.engine.planOf(w.st, w.model, t, w.ref)
	if len(w.plan.read) == 0 {
		return errUnread
	}
	return nil
}

// execute runs the statement and collects its changes. If it is not understood, if ready is false, or if
// what we add fails, it runs as it is and is counted.
func (e *engine) execute(w *write, ready, inTx bool) (*outcome, error) {
	if !ready {
		return e.plainly(w)
	}
	t := e.trustOf(w)
	if t.failures.Load() >= refusals {
		return e.plainly(w)
	}
	var out *outcome
	var err error
	ours := false
	if inTx {
		out, err, ours = e.guarded(w, t, w.captured)
	} else if out, err = w.captured(); err != nil {
		ours, _ = e.dialect.retry(err)
	} else if t.failures.Load() > 0 {
		t.failures.Store(0)
	}
	switch {
	case errors.Is(err, errUnread):
		return e.plainly(w)
	case !ours:
		return out, err
	}
	first := err
	if e.strict(w) {
		// Maybe the statement itself is wrong: the caller sees what the database said.
		err = fmt.Errorf("%w: table %q: %w", ErrCapture, w.name, first)
		e.failed(w.st, err)
		return nil, err
	}
	if out, err = e.plainly(w); err == nil {
		e.failedOurs(w, t, first)
	}
	return out, err
}

// strict says whether an error of ours fails the statement.
func (e *engine) strict(w *write) bool {
	if e.hooks.Strict == nil {
		return false
	}
	op := Update
	switch w.kind {
	case create:
		op = Insert
	case remove:
		op = Delete
	case update:
	}
	return e.hooks.Strict(w.model, op)
}

// captured runs the statement with what we add.
func (w *write) captured() (*outcome, error) {
	switch {
	case w.kind == create:
		return w.engine.dialect.insert(w)
	case w.kind == update || strings.HasPrefix(w.query, "UPDATE"):
		return w.engine.dialect.update(w)
	default:
		return w.engine.dialect.remove(w)
	}
}

// plainly runs the statement as GORM built it, and counts that it was not captured. The strict policy
// does not let it run.
func (e *engine) plainly(w *write) (*outcome, error) {
	if e.strict(w) {
		err := fmt.Errorf("%w: %s: table %q", ErrCapture, ReasonUnread, w.name)
		e.failed(w.st, err)
		return nil, err
	}
	w.drop()
	w.changed = 0
	if w.plan == nil {
		w.plan = &plan{model: w.model}
	}
	out, err := w.plainly()
	if err == nil {
		e.skipped(w.st, ReasonUnread)
	}
	return out, err
}

func (w *write) unobserved() {
	if w.changed > 0 && !w.engine.hooks.InTx {
		w.engine.skipped(w.st, ReasonUnobserved)
	}
	for i := range w.changes {
		if w.changes[i].Note == "" {
			w.changes[i].Note = NoteUnobserved
		}
	}
}

// deliver gives the changes to the root and holds its items in unit; without one they are released at
// once. The error is of the strict policy.
func (e *engine) deliver(w *write, unit *tx.Unit) error {
	if w.changed == 0 {
		return nil
	}
	var items []tx.Item
	err := e.safe(w.st, func() error {
		standing := w.st.ConnPool
		w.st.ConnPool = w.conn // for queries of the root's
		defer func() { w.st.ConnPool = standing }()
		changes, summary := w.collector.result()
		items = e.hooks.Captured(w.st, changes, summary)
		return nil
	})
	if err != nil {
		e.skipped(w.st, ReasonPanic)
		if e.strict(w) {
			return err
		}
		return nil
	}
	if len(items) == 0 {
		return nil
	}
	if unit != nil && unit.Add(w.collector.bytes, items...) {
		return nil
	}
	return e.release(w.st.Context, w.conn, items)
}

// release lets go of items that belong to no transaction whose end will be seen. A sink that writes in
// transactions writes on the same connection: in a transaction that is not observed its records then
// share its end.
func (e *engine) release(ctx context.Context, conn gorm.ConnPool, items []tx.Item) error {
	if t := ended(conn); t != nil && e.hooks.InTx {
		return byText(ctx, t, func() error {
			t.Unit().Add(0, items...)
			return nil
		})
	}
	if e.hooks.InTx || tx.Pinned(conn) {
		if err := e.tx.BeforeCommit(ctx, conn, items); err != nil {
			return err
		}
	}
	e.tx.AfterCommit(context.WithoutCancel(ctx), items)
	return nil
}

// ended gives the transaction that conn is, if its end was sent as text: its connection is still held,
// and what is sent on it commits by itself.
func ended(conn gorm.ConnPool) *tx.Tx {
	if t := tx.Of(conn); t != nil && !t.Unit().Open() {
		return t
	}
	return nil
}

// byText runs f in a transaction that begins and ends as text, on the connection of one that has ended so:
// what a sink writes in transactions shares the end of what it is about, and savepoints work.
func byText(ctx context.Context, t *tx.Tx, f func() error) error {
	if _, err := t.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	if !t.Unit().Open() {
		return fmt.Errorf("%w: BEGIN opened no transaction", ErrCapture)
	}
	committed := false
	defer func() {
		if !committed { // after an error or panic, which is what the caller learns of
			_, _ = t.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	if err := f(); err != nil {
		return err
	}
	committed = true
	_, err := t.ExecContext(ctx, "COMMIT")
	return err
}
