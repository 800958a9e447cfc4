package tx

import (
	"context"
	"errors"
	"reflect"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/failpoint"
)

// errPrepared is the cause of a doubt.
var errPrepared = errors.New("audit: the transaction was prepared (PREPARE TRANSACTION, XA PREPARE), and it is not seen how somebody ends it")

// guardName is the savepoint in front of an end that the database may refuse.
const guardName = "audit_end"

// textEnd is one end of a transaction that is sent as text, with the units that it ends.
//
// A database may refuse it and leave the transaction open, as SQLite does while another connection reads or a
// deferred constraint is violated, and MySQL with a text that it does not understand. Then the units stay
// open too, and what the step before COMMIT wrote is taken back: the next end has it written again.
type textEnd struct {
	control control
	query   string
	units   []*Unit
	conn    gorm.ConnPool            // for the step before COMMIT
	send    func(query string) error // runs a statement of ours, whatever became of the context
	over    func()                   // called when the transaction has ended, before the hooks
	begin   func()                   // called if the next transaction has begun with the end
	held    map[*Unit][]Item         // what the step before COMMIT has seen
	guarded bool                     // the savepoint is set
}

// implied reports whether a text ends the transaction that is open. manual says that autocommit is off.
func implied(c control, mysql, manual bool) bool {
	switch c.verb {
	case verbCommit, verbPrepare, verbXAEnd:
		return true
	case verbBegin, verbDefine:
		return mysql
	case verbAutocommitOn:
		return manual
	default:
		return false
	}
}

func (e *textEnd) run(do func() error) error {
	if !e.usable() {
		err := do()
		e.close(RolledBack, err)
		if err == nil {
			e.next()
		}
		return err
	}
	e.guarded = e.guards() && e.send("SAVEPOINT "+guardName) == nil
	if err := e.before(); err != nil {
		return errors.Join(err, e.undo(do))
	}
	failpoint.Hit(failpoint.CommitBefore)
	err := do()
	switch {
	case err != nil && e.still(err):
		return err
	case err == nil && e.control.verb == verbXAEnd:
		for u := range e.held {
			u.mu.Lock()
			u.written = true // nothing can be sent until the transaction is prepared or ended
			u.mu.Unlock()
		}
		return nil
	}
	e.close(e.outcome(err), err)
	if err == nil {
		e.next()
	}
	return err
}

// usable reports whether the transaction can commit. PostgreSQL answers COMMIT after an error without one,
// though it rolls back, and a result does not tell. SQLite may have rolled back with an error before; it
// refuses BEGIN inside a transaction. Of PostgreSQL nothing is asked if nothing is held.
func (e *textEnd) usable() bool {
	switch {
	case len(e.units) == 0 || e.mysql():
		return true
	case e.lazy():
		return e.open()
	}
	for _, u := range e.units {
		if len(u.Items()) > 0 {
			return e.send("SELECT 1") == nil
		}
	}
	return true
}

// open asks SQLite whether a transaction is open.
func (e *textEnd) open() bool {
	if e.send("BEGIN") != nil {
		return true
	}
	_ = e.send("ROLLBACK")
	return false
}

func (e *textEnd) mysql() bool {
	for _, u := range e.units {
		if u.hooks.CommitsDDL {
			return true
		}
	}
	return false
}

func (e *textEnd) lazy() bool {
	for _, u := range e.units {
		if u.hooks.LazyQueries {
			return true
		}
	}
	return false
}

// guards reports whether a savepoint tells what became of the transaction if the end is refused.
func (e *textEnd) guards() bool {
	switch e.control.verb {
	case verbCommit, verbPrepare:
		return e.lazy()
	default:
		return len(e.units) > 0
	}
}

// before runs the step before COMMIT.
func (e *textEnd) before() error {
	e.held = make(map[*Unit][]Item, len(e.units))
	for _, u := range e.units {
		items := u.Items()
		if len(items) > 0 && !u.isWritten() {
			if err := u.hooks.BeforeCommit(u.ctx, e.conn, items); err != nil {
				return err
			}
		}
		e.held[u] = items
	}
	return nil
}

// undo rolls back, after the step before COMMIT has failed.
func (e *textEnd) undo(do func() error) error {
	query := "ROLLBACK"
	if e.control.verb == verbXAEnd {
		if err := do(); err != nil {
			return err
		}
		query = "XA ROLLBACK " + xid(e.query)
	}
	err := e.send(query)
	e.close(RolledBack, err)
	return err
}

// still reports whether the transaction is open although its end was sent, and makes it what it was.
func (e *textEnd) still(err error) bool {
	if (e.lazy() || StaysOpen(err)) && !e.open() {
		return false
	}
	if !e.guarded {
		return e.lazy() || StaysOpen(err) || refusedXA(err)
	}
	if e.send("ROLLBACK TO SAVEPOINT "+guardName) != nil {
		return false
	}
	_ = e.send("RELEASE SAVEPOINT " + guardName)
	return true
}

// outcome tells what became of a transaction that is not open any more.
func (e *textEnd) outcome(err error) Outcome {
	switch e.control.verb {
	case verbPrepare:
		if err == nil {
			return Unknown
		}
	case verbDefine, verbBegin, verbAutocommitOn:
		// MySQL commits first, and what comes after that may fail for any reason.
		if err != nil && OutcomeOf(err) != Unknown && !e.lost(err) {
			return Committed
		}
	default:
	}
	return OutcomeOf(err)
}

func (e *textEnd) lost(err error) bool {
	for _, u := range e.units {
		if u.hooks.Lost != nil && u.hooks.Lost(err) {
			return true
		}
	}
	return false
}

func (e *textEnd) close(outcome Outcome, err error) {
	e.over()
	if outcome == Unknown && err == nil {
		err = errPrepared
	}
	for _, u := range e.units {
		u.settle(outcome, err, e.held[u], loose)
	}
}

func (e *textEnd) next() {
	if e.control.chain || e.control.verb == verbBegin {
		e.begin()
	}
}

// refusedXA reports whether err is one of MySQL and MariaDB by which an end was refused, and the XA
// transaction is as it was.
func refusedXA(err error) bool {
	number, ok := field(err, "Number", reflect.Uint16)
	return ok && number >= 1397 && number <= 1400 // XAER_NOTA, _INVAL, _RMFAIL, _OUTSIDE
}

// StaysOpen reports whether a COMMIT that failed with err may have left the transaction open: SQLite does, and
// not all of its drivers roll back then.
func StaysOpen(err error) bool {
	var state interface{ SQLState() string }
	var code interface{ Code() int }
	if err == nil || errors.As(err, &state) {
		return false
	}
	if _, ok := field(err, "ExtendedCode", reflect.Int); ok {
		return true
	}
	return errors.As(err, &code)
}

// endText runs do, which sends a text that ends the unit's transaction.
func (u *Unit) endText(c control, query string, do func() error) error {
	e := &textEnd{
		control: c, query: query, units: []*Unit{u}, conn: u.conn, begin: u.begin, over: func() {},
		send: func(query string) error {
			_, err := u.conn.ExecContext(context.WithoutCancel(u.ctx), query)
			return err
		},
	}
	return e.run(do)
}
