package tx

import (
	"context"
	"database/sql"
	"runtime"

	"gorm.io/gorm"
)

// Adopt observes a transaction of database/sql that somebody else began, for a handle with the given
// pool. Its end is seen if it is ended through what comes back. ctx is the one that it was begun with, as
// far as that is known.
func Adopt(ctx context.Context, pool gorm.ConnPool, t *sql.Tx, hooks *Hooks) *Tx {
	if p, ok := pool.(*gorm.PreparedStmtDB); ok {
		pool = p.ConnPool
	}
	p, ok := pool.(*Pool)
	if !ok {
		p = &Pool{ConnPool: pool, hooks: hooks}
	}
	if watched, ok := wrapTx(t, hooks).(*Tx); ok { // the driver sees how it ends
		watched.pool = p
		return watched
	}
	return &Tx{Tx: t, pool: p, unit: &Unit{hooks: hooks, ctx: ctx, conn: t}}
}

// Controls reports whether the text begins or ends a transaction or a savepoint.
func (t *Tx) Controls(query string) bool { return len(parse(query, t.unit.hooks.CommitsDDL)) > 0 }

// WhenGivenUp watches for the transaction to be given up, as far as the garbage collector sees it: nobody
// can end it by t any more. What it then holds is in doubt, and cause says why.
func (t *Tx) WhenGivenUp(cause error) {
	if t.unit.session != nil {
		return // its driver will tell
	}
	runtime.AddCleanup(t, func(u *Unit) {
		if len(u.Items()) > 0 {
			go u.Abandon(cause) // the hooks take their time
		}
	}, t.unit)
}

// Abandon ends a unit whose transaction nobody can end any more, or that was ended where it could not be
// seen: what it holds is in doubt. cause says so.
func (u *Unit) Abandon(cause error) {
	_ = u.commit(func() error { return &abandonedError{cause} }, ended, false)
}

// abandonedError is of no kind that an outcome could be read from.
type abandonedError struct{ cause error }

func (e *abandonedError) Error() string { return e.cause.Error() }
func (e *abandonedError) Unwrap() error { return e.cause }
