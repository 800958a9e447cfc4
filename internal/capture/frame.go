package capture

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// frameKey is the context key of the unit of one call outside a transaction. Nested statements inherit
// the context.
type frameKey struct{}

func frameOf(ctx context.Context) *tx.Unit {
	if u, ok := ctx.Value(frameKey{}).(*tx.Unit); ok && u.Open() {
		return u
	}
	return nil
}

// deferred marks a statement whose associations are deleted by the delete handler.
const deferred = "audit:associations"

// associations gives GORM's handler that deletes the rows of selected associations. Outside a
// transaction it leaves them to the delete handler, so that both are one unit.
func (e *engine) associations(orig func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		st := db.Statement
		if db.Error != nil || db.DryRun || st.Schema == nil || len(st.Selects) == 0 {
			orig(db)
			return
		}
		if unit, observed := tx.Find(st.ConnPool); unit != nil || !observed {
			orig(db)
			return
		}
		db.InstanceSet(deferred, orig)
	}
}

// removal gives GORM's delete handler with its statement captured. It first deletes the associations
// that were left to it. With a sink that writes in transactions all of it is one transaction.
func (e *engine) removal(orig func(*gorm.DB)) func(*gorm.DB) {
	handler := e.handler(remove, orig)
	return func(db *gorm.DB) {
		v, ok := db.InstanceGet(deferred)
		associations, isFunc := v.(func(*gorm.DB))
		if !ok || !isFunc {
			handler(db)
			return
		}
		db.InstanceSet(deferred, nil)
		if db.Error != nil {
			return
		}
		m := e.model(db.Statement)
		both := func() {
			associations(db)
			switch {
			case db.Error != nil:
			case m == nil:
				orig(db)
			default:
				e.capture(db, remove, orig, m)
			}
		}
		if m == nil {
			both()
		} else if e.hooks.InTx {
			e.inOwnTx(db, both)
		} else {
			e.inFrame(db, both)
		}
	}
}

// inFrame runs statements that commit one by one, and releases what they changed together.
func (e *engine) inFrame(db *gorm.DB, f func()) {
	st := db.Statement
	ctx := st.Context
	frame := tx.NewUnit(ctx, e.tx)
	st.Context = context.WithValue(ctx, frameKey{}, frame)
	defer func() { // what was committed before an error or panic stays
		st.Context = ctx
		if tx.Pinned(st.ConnPool) {
			frame.ReleaseOn(tx.Wrap(st.ConnPool, e.tx))
		} else {
			frame.Release()
		}
	}()
	f()
}

func (e *engine) inOwnTx(db *gorm.DB, f func()) {
	st := db.Statement
	saved := st.ConnPool
	b, ok := tx.Wrap(saved, e.tx).(gorm.ConnPoolBeginner)
	if !ok {
		f()
		return
	}
	conn, err := b.BeginTx(st.Context, nil)
	if err != nil {
		_ = db.AddError(err)
		return
	}
	t := conn.(gorm.TxCommitter) //nolint:forcetypeassert // BeginTx of ours gives a transaction
	st.ConnPool = conn
	ended := false
	defer func() {
		if !ended {
			_ = t.Rollback() // a panic goes on to the caller
		}
		st.ConnPool = saved
	}()
	f()
	ended = true
	if db.Error != nil {
		_ = t.Rollback() // the caller learns of the first error
		return
	}
	_ = db.AddError(t.Commit())
}
