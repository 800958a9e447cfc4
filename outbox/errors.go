package outbox

import (
	"errors"
	"fmt"
)

var (
	// ErrDialect is returned, wrapped, by New if the database is none that the outbox knows.
	ErrDialect = errors.New("outbox: unknown kind of database")
	// ErrTable is returned, wrapped, by New if the table exists and is not one of this package, or one of
	// a newer version of it.
	ErrTable = errors.New("outbox: table cannot be used")
	// ErrPool is returned, wrapped, by Outbox.Queue if the pool of connections is too small.
	ErrPool = errors.New("outbox: pool cannot be used")
	// ErrClosed is returned by Queue.Read after Close.
	ErrClosed = errors.New("outbox: queue is closed")
	// ErrRenewed is returned by Queue.Read, once, if the producer has another name now: it must be asked
	// for again.
	ErrRenewed = errors.New("outbox: the producer has a new name")
	// ErrRange is returned, wrapped, by Outbox.Refill if the range is not, or no longer, there.
	ErrRange = errors.New("outbox: sequences are not there")
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
	return fmt.Sprintf("outbox: %d records not written: %v", e.Records, e.Err)
}

// Unwrap gives the reason.
func (e *LostError) Unwrap() error { return e.Err }

// Lost gives Records.
func (e *LostError) Lost() int { return e.Records }
