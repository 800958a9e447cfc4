package capture

import (
	"database/sql"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/sqltext"
	"github.com/gormtrail/audit/internal/tx"
)

// raw gives GORM's handler of Exec, or of a query, with what SQL text does to the transaction followed:
// prepared statements bypass the transaction's own methods.
func (e *engine) raw(orig func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		// A query that GORM builds itself has no text yet.
		if db.Error != nil || db.DryRun || db.Statement.SQL.Len() == 0 {
			orig(db)
			return
		}
		stray := e.stray(db.Statement)
		if stray && e.hooks.Strict != nil && e.hooks.Strict(nil, Update) {
			err := fmt.Errorf("%w: %s: %q; use db.Begin, db.Connection or audit.BeginSQL", ErrCapture, ReasonStray, db.Statement.SQL.String())
			e.failed(db.Statement, err)
			_ = db.AddError(err)
			return
		}
		e.follow(db, orig)
		if stray && db.Error == nil {
			e.skipped(db.Statement, ReasonStray)
		}
	}
}

// stray reports whether a text leaves a transaction open on a connection that goes back to the pool, where it
// meets whatever comes next. Autocommit that is switched off in a transaction stays so behind it.
func (e *engine) stray(st *gorm.Statement) bool {
	text := st.SQL.String()
	if !tx.Pinned(st.ConnPool) {
		return tx.LeavesOpen(text, e.tx.LazyQueries)
	}
	return tx.Of(st.ConnPool) != nil && tx.LeavesAutocommitOff(text)
}

func (e *engine) follow(db *gorm.DB, orig func(*gorm.DB)) {
	st := db.Statement
	if _, ok := st.ConnPool.(*sql.Conn); ok {
		st.ConnPool = tx.Wrap(st.ConnPool, e.tx) // stays there, as the connection itself would
	}
	if _, ok := st.ConnPool.(*gorm.PreparedStmtTX); !ok {
		orig(db)
		return
	}
	t := tx.Of(st.ConnPool)
	if t == nil {
		orig(db)
		return
	}
	if rows, ok := db.Get("rows"); ok && rows == false && t.Unit().Lazy(st.SQL.String()) {
		// One row: there is nothing but the transaction's own way.
		st.Dest = t.QueryRowContext(st.Context, st.SQL.String(), st.Vars...)
		db.RowsAffected = -1
		return
	}
	sent := false
	err := t.Control(st.SQL.String(), func() error {
		sent = true
		orig(db)
		if db.Error != nil {
			return db.Error
		}
		switch dest := st.Dest.(type) {
		case *sql.Row:
			return dest.Err()
		case *sql.Rows:
			return t.Unit().Ran(st.SQL.String(), dest)
		}
		return nil
	})
	if !sent && err != nil { // the step before COMMIT failed
		_ = db.AddError(err)
	}
}

// countRaw counts SQL text that wrote a captured table, and forgets what is known of tables after their
// definition may have changed.
func (e *engine) countRaw(db *gorm.DB) {
	st := db.Statement
	if db.Error != nil || db.DryRun || st.SQL.Len() == 0 {
		return
	}
	e.countText(db, st.SQL.String())
}

func (e *engine) countText(db *gorm.DB, text string) {
	st := db.Statement
	_ = e.safe(st, func() error {
		for _, w := range sqltext.Writes(text) {
			if w.Table == "" {
				e.forget()
				e.trusts.Clear()
				continue
			}
			s := &gorm.Statement{DB: db, Table: w.Table, Context: st.Context, Clauses: map[string]clause.Clause{}}
			if i := strings.LastIndexByte(w.Table, '.'); i >= 0 {
				s.Table, s.TableExpr = w.Table[i+1:], &clause.Expr{SQL: w.Table}
			}
			if e.model(s) != nil {
				e.skipped(s, ReasonRaw)
			}
		}
		return nil
	})
}
