package audit

import (
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/store/sqlstore"
)

// openEmbedded gives the store in the handle's own database.
func (a *Auditor) openEmbedded(db *gorm.DB) (TxSink, error) {
	store, err := sqlstore.New(db, sqlstore.Config{
		Table: a.cfg.Table, SkipMigrate: a.cfg.SkipMigrate, Strict: a.cfg.Policy == Strict, Logger: a.cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("audit: embedded store: %w", err)
	}
	return store, nil
}

// loser is an error of a TxSink that knows how many records it means.
type loser interface {
	error
	Lost() int
}

// lostOf gives how many of n records an error of a TxSink means.
func lostOf(err error, n int) int {
	if lost := loser(nil); errors.As(err, &lost) {
		return min(lost.Lost(), n)
	}
	return n
}
