package capture

import (
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// raw gives GORM's handler of Exec, with what its text does to the transaction followed. Prepared
// statements bypass the transaction's own ExecContext.
func (e *engine) raw(orig func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		st := db.Statement
		if db.Error != nil || db.DryRun {
			orig(db)
			return
		}
		if _, ok := st.ConnPool.(*gorm.PreparedStmtTX); ok {
			if t := tx.Of(st.ConnPool); t != nil {
				sent := false
				err := t.Control(st.SQL.String(), func() error {
					sent = true
					orig(db)
					return db.Error
				})
				if !sent && err != nil { // the step before COMMIT failed
					_ = db.AddError(err)
				}
				return
			}
		}
		orig(db)
	}
}
