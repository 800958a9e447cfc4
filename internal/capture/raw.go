package capture

import (
	"database/sql"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/sqltext"
	"github.com/gormtrail/audit/internal/tx"
)

// raw gives GORM's handler of Exec, with what its text does to the transaction followed: prepared
// statements bypass the transaction's own ExecContext.
func (e *engine) raw(orig func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		if db.Error != nil || db.DryRun {
			orig(db)
			return
		}
		e.follow(db, orig)
		e.countRaw(db)
	}
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
	sent := false
	err := t.Control(st.SQL.String(), func() error {
		sent = true
		orig(db)
		return db.Error
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
	_ = e.safe(st, func() error {
		for _, w := range sqltext.Writes(st.SQL.String()) {
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
