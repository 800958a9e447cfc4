package capture

import (
	"database/sql"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// Adopt gives a session of db in a transaction that somebody else began on the same database, and the
// transaction through which it is to be ended. The error is ErrNotInstalled.
func Adopt(db *gorm.DB, t *sql.Tx) (*gorm.DB, *tx.Tx, error) {
	e := engineOf(db)
	if e == nil {
		return nil, nil, ErrNotInstalled
	}
	observed := tx.Adopt(contextOf(db), db.Config.ConnPool, t, e.tx)
	// Without a cache of prepared statements: they belong to the pool of the handle, and it is not known
	// whether the transaction comes from that.
	return Session(db, observed), observed, nil
}

// Session gives a new session of db on a connection or in a transaction.
func Session(db *gorm.DB, conn gorm.ConnPool) *gorm.DB {
	s := db.Session(&gorm.Session{NewDB: true, Context: contextOf(db)})
	s.Statement.ConnPool = conn
	return s
}

// CountText counts the registered tables that SQL text wrote, which was sent beside GORM in the
// transaction of db. rows is negative if they are not known.
func CountText(db *gorm.DB, text string, rows int64) {
	e := engineOf(db)
	if e == nil {
		return
	}
	s := db.Session(&gorm.Session{NewDB: true, Context: contextOf(db)})
	st := s.Statement
	st.ConnPool = db.Statement.ConnPool
	st.SQL.WriteString(text)
	s.RowsAffected = rows
	if rows < 0 {
		st.Dest = (*sql.Rows)(nil) // as of a query, whose rows are not known either
	}
	e.countText(s, text)
}
