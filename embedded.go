package audit

import (
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/store/sqlstore"
)

// openEmbedded gives the store in the handle's own database.
//
// With several policies an error of it must leave the transaction usable, and whether it fails is decided here.
func (a *Auditor) openEmbedded(db *gorm.DB, ps *policies) (TxSink, error) {
	strict := ps.base == Strict && len(ps.rules) == 0
	store, err := sqlstore.New(db, sqlstore.Config{
		Table: a.cfg.Table, SkipMigrate: a.cfg.SkipMigrate, Strict: strict, Logger: a.cfg.Logger,
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
