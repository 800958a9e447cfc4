package sqlstore

import (
	"errors"
	"fmt"

	"github.com/gormtrail/audit/store"
)

var (
	// ErrDialect is returned, wrapped, by New if the database is none that the store knows.
	ErrDialect = errors.New("sqlstore: unknown kind of database")
	// ErrTable is returned, wrapped, by New if the table exists and is not one of this package, or one
	// of a newer version of it.
	ErrTable = errors.New("sqlstore: table cannot be used")
)

// LostError is returned by WriteTx if records were not written. The transaction is still usable, unless
// Config.Strict is set.
type LostError struct {
	// Records is how many were not written.
	Records int
	// Err says why.
	Err error
}

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("sqlstore: %d records not written: %v", e.Records, e.Err)
}

// Unwrap gives the reason.
func (e *LostError) Unwrap() error { return e.Err }

// Lost gives Records.
func (e *LostError) Lost() int { return e.Records }

func unavailable(what string, err error) error {
	return fmt.Errorf("%w: sqlstore: %s: %w", store.ErrUnavailable, what, err)
}
