package capture

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// Add puts items into the transaction of db, to be released when it commits. Outside a transaction they
// are a unit of their own: released at once, for a sink that writes in transactions in one of their own.
// The error is of the sink or the database, or ErrNotInstalled.
func Add(db *gorm.DB, items ...tx.Item) error {
	e := engineOf(db)
	if e == nil {
		return ErrNotInstalled
	}
	if len(items) == 0 {
		return nil
	}
	ctx, conn := contextOf(db), tx.Wrap(db.Statement.ConnPool, e.tx)
	unit, observed := tx.Find(conn)
	if unit != nil && unit.Add(0, items...) {
		return nil
	}
	if unit != nil || !observed {
		return e.release(ctx, conn, items)
	}
	if frame := frameOf(ctx); frame != nil && frame.Add(0, items...) {
		return nil
	}
	if !e.hooks.InTx {
		return e.release(ctx, conn, items)
	}
	b, ok := conn.(gorm.ConnPoolBeginner)
	if !ok {
		return e.release(ctx, conn, items)
	}
	c, err := b.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	t := c.(gorm.TxCommitter) //nolint:forcetypeassert // BeginTx of ours gives a transaction
	if unit, _ := tx.Find(c); unit == nil || !unit.Add(0, items...) {
		_ = t.Rollback()
		return e.release(ctx, conn, items)
	}
	return t.Commit()
}

// OnEnd calls f when the transaction of db has ended, with whether it committed; at once, with true, if
// there is none. In a transaction whose end is not observed it is called at once as well.
func OnEnd(db *gorm.DB, f func(committed bool)) error {
	e := engineOf(db)
	if e == nil {
		return ErrNotInstalled
	}
	if unit, _ := tx.Find(db.Statement.ConnPool); unit != nil && unit.OnEnd(f) {
		return nil
	}
	if frame := frameOf(contextOf(db)); frame != nil && frame.OnEnd(f) {
		return nil
	}
	f(true)
	return nil
}

// AtEnd is OnEnd for what needs a connection of its own: it calls f when the transaction of db has ended, or
// at once if there is none. It reports false, and does not call f, where the end is not seen, or where one
// connection is held for more than a transaction.
func AtEnd(db *gorm.DB, f func(committed bool)) bool {
	pool := db.Statement.ConnPool
	unit, observed := tx.Find(pool)
	if unit != nil {
		return unit.OnEnd(f)
	}
	if !observed || tx.Pinned(pool) {
		return false
	}
	if frame := frameOf(contextOf(db)); frame != nil {
		return frame.OnEnd(f)
	}
	f(true)
	return true
}

func contextOf(db *gorm.DB) context.Context {
	if db.Statement.Context != nil {
		return db.Statement.Context
	}
	return context.Background() //nolint:forbidigo // a handle without a context
}
