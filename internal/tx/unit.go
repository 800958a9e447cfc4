package tx

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/failpoint"
)

// Unit holds the items that are released together: those of one transaction, or of one call outside a
// transaction.
type Unit struct {
	hooks *Hooks
	ctx   context.Context //nolint:containedctx // the context of the transaction, as in *sql.Tx
	conn  gorm.ConnPool

	mu    sync.Mutex
	items []entry
	bytes int64
	marks []mark
	onEnd []func(committed bool)
	state state
	notes map[string]bool

	manual  bool    // autocommit is off: an end begins the next transaction
	written bool    // the step before COMMIT has run, behind which nothing can be added
	outcome Outcome // once it has ended

	session *Session // of the driver, which follows the text then; nil if it is not watched
	ending  bool     // Commit or Rollback is under way above the driver
}

type entry struct {
	item Item
	size int64
}

// mark is where a savepoint stands among the items.
type mark struct {
	name  string
	items int
}

type state uint8

const (
	open  state = iota // items are held
	loose              // ended by SQL text (COMMIT, ROLLBACK): what follows commits by itself
	ended
)

// NewUnit gives a unit for one call outside a transaction, which ends with Release or Discard.
func NewUnit(ctx context.Context, hooks *Hooks) *Unit {
	return &Unit{hooks: hooks, ctx: ctx}
}

// Add holds items of together size bytes until the unit ends. It reports false, and holds nothing, if
// the unit does not hold items any more.
func (u *Unit) Add(size int64, items ...Item) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != open {
		return false
	}
	for i, item := range items {
		e := entry{item: item}
		if i == 0 {
			e.size = size
		}
		u.items = append(u.items, e)
	}
	if len(items) > 0 {
		u.bytes += size
	}
	return true
}

// Bytes gives the size of the items held.
func (u *Unit) Bytes() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}

// Open reports whether the unit holds items until it ends.
func (u *Unit) Open() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state == open
}

// Outcome gives how the unit ended, the last time if its transaction ended as text and another began; 0 while
// it is open.
func (u *Unit) Outcome() Outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.outcome
}

func (u *Unit) isManual() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.manual
}

func (u *Unit) isWritten() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.written
}

func (u *Unit) setManual(manual bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.manual = manual
}

// Note remembers name until the unit ends.
func (u *Unit) Note(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != open {
		return
	}
	if u.notes == nil {
		u.notes = map[string]bool{}
	}
	u.notes[name] = true
}

// Noted reports whether name was noted.
func (u *Unit) Noted(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.notes[name]
}

// OnEnd calls f when the unit has ended, after the hooks. It reports false, and does not call f, if the
// unit has ended already. Savepoints do not remove f.
func (u *Unit) OnEnd(f func(committed bool)) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != open {
		return false
	}
	u.onEnd = append(u.onEnd, f)
	return true
}

// Release ends a unit of NewUnit whose statements have succeeded.
func (u *Unit) Release() {
	_ = u.commit(func() error { return nil }, ended, false)
}

// ReleaseOn is Release with the step before commit on a connection, for hooks that read.
func (u *Unit) ReleaseOn(conn gorm.ConnPool) {
	u.conn = conn
	if u.commit(func() error { return nil }, ended, true) != nil {
		u.Release()
	}
}

// Discard ends the unit without releasing anything.
func (u *Unit) Discard() {
	_ = u.rollback(func() error { return nil }, ended)
}

// Items gives the items held, in order, none once the unit has ended. They stay held, so that the hooks run
// without the lock.
func (u *Unit) Items() []Item {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != open || len(u.items) == 0 {
		return nil
	}
	items := make([]Item, len(u.items))
	for i, e := range u.items {
		items[i] = e.item
	}
	return items
}

// finish moves the unit to the state next and gives what has to be called, empty the second time.
func (u *Unit) finish(next state) (items []entry, onEnd []func(bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	items, onEnd = u.items, u.onEnd
	u.items, u.onEnd, u.bytes, u.marks, u.notes = nil, nil, 0, nil, nil
	u.state, u.ending, u.written = next, false, false
	return items, onEnd
}

// commit runs the step before commit, then do, which commits, and releases the items if it succeeded, or
// may have.
func (u *Unit) commit(do func() error, next state, before bool) error {
	items := u.Items()
	if before && len(items) > 0 && !u.isWritten() {
		if err := u.hooks.BeforeCommit(u.ctx, u.conn, items); err != nil {
			return &beforeCommitError{err}
		}
	}
	failpoint.Hit(failpoint.CommitBefore)
	u.expect(true)
	outcome, err := u.attempt(do, next)
	failpoint.Hit(failpoint.CommitAfter)
	u.settle(outcome, err, items, next)
	return err
}

// expect says that the end which a driver may now see is ours.
func (u *Unit) expect(end bool) {
	if u.session == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ending = end
}

// settle ends the unit and hands its items on as the outcome says.
func (u *Unit) settle(outcome Outcome, cause error, items []Item, next state) {
	held, onEnd := u.finish(next)
	u.mu.Lock()
	u.outcome = outcome
	u.mu.Unlock()
	switch {
	case outcome == RolledBack || outcome == Unknown && u.hooks.InDoubt == nil:
		u.discarded(held)
	case len(items) == 0:
	case outcome == Unknown:
		u.hooks.InDoubt(context.WithoutCancel(u.ctx), items, cause)
	default:
		u.hooks.AfterCommit(context.WithoutCancel(u.ctx), items)
	}
	for _, f := range onEnd {
		f(outcome == Committed)
	}
}

// attempt runs do, which commits, and gives what came of it.
func (u *Unit) attempt(do func() error, next state) (Outcome, error) {
	over := u.ctx != nil && u.ctx.Err() != nil
	err := do()
	if next == ended && over && (errors.Is(err, sql.ErrTxDone) || errors.Is(err, u.ctx.Err())) {
		// database/sql has rolled back when the context ended, or does not let COMMIT through any more. If
		// the context ends later, its error says nothing: pgx gives it as it is for a COMMIT in flight.
		return RolledBack, err
	}
	return OutcomeOf(err), err
}

// beforeCommitError is an error of the step before commit, after which the transaction is still open.
type beforeCommitError struct{ err error }

func (e *beforeCommitError) Error() string { return e.err.Error() }
func (e *beforeCommitError) Unwrap() error { return e.err }

func (u *Unit) rollback(do func() error, next state) error {
	u.expect(true)
	err := do()
	u.settle(RolledBack, err, nil, next)
	return err
}

func (u *Unit) discarded(held []entry) {
	if len(held) == 0 {
		return
	}
	items := make([]Item, len(held))
	for i, e := range held {
		items[i] = e.item
	}
	u.hooks.Discarded(items)
}

func (u *Unit) savepoint(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.marks = append(u.marks, mark{name, len(u.items)})
}

// find gives the index of the latest savepoint of that name, -1 if there is none.
func (u *Unit) find(name string) int {
	for i := len(u.marks) - 1; i >= 0; i-- {
		if strings.EqualFold(u.marks[i].name, name) {
			return i
		}
	}
	return -1
}

func (u *Unit) release(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i := u.find(name); i >= 0 {
		u.marks = u.marks[:i]
	}
}

func (u *Unit) rollbackTo(name string) {
	u.discarded(u.cut(name))
}

// cut removes the items after a savepoint and gives them; the savepoint stays.
func (u *Unit) cut(name string) []entry {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := u.find(name)
	if i < 0 {
		return nil
	}
	u.marks = u.marks[:i+1]
	n := u.marks[i].items
	gone := append([]entry(nil), u.items[n:]...)
	u.items = u.items[:n]
	for _, e := range gone {
		u.bytes -= e.size
	}
	return gone
}

func (u *Unit) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state == loose {
		u.state, u.outcome = open, 0
	}
}
