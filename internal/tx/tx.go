// Package tx holds what happened in an open database transaction until it commits. It wraps GORM's
// connection pool, so that Begin, Commit, Rollback and savepoints are seen whoever calls them.
//
// # Delivery
//
// Items wait on the transaction object. Savepoints are followed by the SQL that succeeded, not by what
// the caller meant. COMMIT releases the items once; ROLLBACK, a COMMIT that the database refused and a
// transaction that nobody ends release nothing. If the answer to COMMIT is lost, the items are released as
// being in doubt.
//
// # Concurrency
//
// Everything here may be used concurrently, as far as database/sql allows it.
//
// # Limits
//
// A transaction that GORM was given from outside (a bare *sql.Tx) is not observed: Find says so.
package tx

import (
	"context"

	"gorm.io/gorm"
)

// Item is what a transaction holds; the root package puts its pending records in.
type Item any

// Hooks are called by a wrapped pool. All are required unless they say what nil means. They may be called concurrently for
// different transactions.
type Hooks struct {
	// BeforeCommit is called once, just before COMMIT is sent, with the items that no savepoint rolled
	// back, if there are any. conn belongs to the transaction. An error rolls the transaction back and
	// becomes the error of Commit.
	BeforeCommit func(ctx context.Context, conn gorm.ConnPool, items []Item) error
	// AfterCommit is called once after COMMIT has succeeded, or for a statement outside a transaction
	// after it did, if there are items. ctx is not cancelled with the request.
	AfterCommit func(ctx context.Context, items []Item)
	// Discarded is called with items that were rolled back.
	Discarded func(items []Item)
	// InDoubt is called once, instead of AfterCommit, if it is not known whether COMMIT has succeeded: the
	// answer to it was lost, and cause is what came instead (see OutcomeOf). ctx is not cancelled with the
	// request. Nil means that such items are discarded.
	InDoubt func(ctx context.Context, items []Item, cause error)
	// Lost reports whether err says that the database has rolled the whole transaction back by itself,
	// as a deadlock does on MariaDB; statements after it commit one by one. Nil means never.
	Lost func(err error) bool
	// LazyQueries says that text sent as a query runs when its first row is asked for, or never, as with
	// some drivers of SQLite.
	LazyQueries bool
	// CommitsDDL says that a changed definition commits the transaction.
	CommitsDDL bool
}
