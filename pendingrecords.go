package audit

import (
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/tx"
)

// PendingRecords gives the records that would be written if the transaction that db is in committed now,
// in their order; none if nothing was changed, or all of it was rolled back to a savepoint. It is for
// tests that roll their transaction back, and for showing a user what a change will record.
//
// They are made for this call alone: their log_id and tx_id are not those of the records that a COMMIT
// makes, Config.Before is asked for each, and nothing is counted in Stats but what fails.
//
// The error is ErrNotInstalled, one that wraps gorm.ErrInvalidTransaction if db is in no transaction that
// is observed, or says how many records could not be made. A transaction belongs to one goroutine, so does
// this call.
func PendingRecords(db *gorm.DB) ([]event.Record, error) {
	h := handleOf(db)
	if h == nil {
		return nil, ErrNotInstalled
	}
	t := tx.Of(db.Statement.ConnPool)
	if t == nil {
		return nil, fmt.Errorf("audit: pending records: db is in no transaction: %w", gorm.ErrInvalidTransaction)
	}
	held := pendings(t.Unit().Items())
	if len(held) == 0 {
		return nil, nil
	}
	var u *unit
	err := guard("making the records", func() error {
		u = h.assemble(db.Statement.Context, t.Unwrap(), true, held)
		return nil
	})
	if err == nil && u.unmade > 0 {
		err = fmt.Errorf("audit: %d of %d pending records could not be made: see Stats and the log", u.unmade, len(held))
	}
	if err != nil {
		return nil, err
	}
	return u.records, nil
}
