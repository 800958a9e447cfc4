package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

// Tx is a transaction of database/sql in which changes are recorded that GORM makes, and that is ended by
// its own Commit or Rollback: the records leave when it commits, and are gone when it is rolled back. Use
// it where a part of a transaction is written without GORM.
//
// Its methods for statements are those of *sql.Tx. Savepoints in their texts are followed, so that what is
// rolled back to one is not recorded; what they write into registered tables is counted like any SQL text
// (Stats.Skipped). The *sql.Tx itself is at hand too, but what is done on it directly is not seen: end the
// transaction and set savepoints here, or open the database through the package sqldriver, which sees all.
//
// If the *sql.Tx is ended directly nevertheless, its records are not lost without a word: Commit after that,
// or the garbage collector's finding the Tx given up, reports it (KindCommit), and a sink behind COMMIT
// gets the records as OutcomeUnknown; for a TxSink it is too late, and they are counted as failed.
//
// Like *sql.Tx, it may be used by several goroutines, as far as the driver allows it.
type Tx struct {
	sql  *sql.Tx
	tx   *tx.Tx
	gorm *gorm.DB
}

// errGivenUp is the cause of a doubt.
var errGivenUp = errors.New("audit: a transaction of SQLTx was given up without Commit or Rollback, or ended on the *sql.Tx itself")

// BeginSQL begins a transaction on the database of db, as sql.DB.BeginTx does. opts may be nil. When ctx
// ends, database/sql rolls it back.
//
// The error is ErrNotInstalled, that of the database, or gorm.ErrInvalidTransaction if db is in a
// transaction already or its pool is none of database/sql.
func BeginSQL(ctx context.Context, db *gorm.DB, opts *sql.TxOptions) (*Tx, error) {
	if handleOf(db) == nil {
		return nil, ErrNotInstalled
	}
	begun := db.Session(&gorm.Session{NewDB: true, Context: ctx}).Begin(opts)
	if begun.Error != nil {
		return nil, fmt.Errorf("audit: begin: %w", begun.Error)
	}
	observed := tx.Of(begun.Statement.ConnPool)
	if observed != nil {
		if t, ok := observed.Unwrap().(*sql.Tx); ok {
			return newTx(t, observed, begun), nil
		}
	}
	_ = begun.Rollback() // what the caller learns of is that it cannot be had
	return nil, fmt.Errorf("audit: begin: the handle's pool is a %T, want one of database/sql: %w", db.Statement.ConnPool, gorm.ErrInvalidTransaction)
}

// SQLTx takes over a transaction that the application has begun on a *sql.DB or *sql.Conn of the same
// database as db: changes through its GORM handle are recorded and wait for its Commit. From now on the
// application ends the transaction by the Tx, and sets savepoints there. The context of db is to be the one
// that the transaction was begun with, or one that lives as long.
//
// The error is ErrNotInstalled, or ErrConfig if t is nil. A transaction is taken over once: hand the Tx on,
// not the *sql.Tx.
func SQLTx(db *gorm.DB, t *sql.Tx) (*Tx, error) {
	if handleOf(db) == nil {
		return nil, ErrNotInstalled
	}
	if t == nil {
		return nil, fmt.Errorf("%w: the transaction is nil", ErrConfig)
	}
	session, observed, err := capture.Adopt(db, t)
	if err != nil {
		return nil, ErrNotInstalled
	}
	return newTx(t, observed, session), nil
}

func newTx(t *sql.Tx, observed *tx.Tx, session *gorm.DB) *Tx {
	observed.WhenGivenUp(errGivenUp)
	return &Tx{sql: t, tx: observed, gorm: session}
}

// GORM gives a handle in the transaction, whose changes are recorded. It has no conditions, so it may be
// used for many statements; nested transactions and savepoints of GORM work on it.
func (t *Tx) GORM() *gorm.DB {
	return t.gorm.Session(&gorm.Session{NewDB: true, Context: t.gorm.Statement.Context})
}

// SQL gives the transaction itself, for what takes nothing else. Do not end it, and do not set or roll back
// to savepoints on it: that is not seen.
func (t *Tx) SQL() *sql.Tx { return t.sql }

// ExecContext is that of *sql.Tx.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := t.tx.ExecContext(ctx, query, args...)
	if err == nil {
		rows, err := result.RowsAffected()
		if err != nil {
			rows = -1 // as GORM has it where it is not known
		}
		t.count(ctx, query, rows)
	}
	return result, err //nolint:wrapcheck // as *sql.Tx
}

// QueryContext is that of *sql.Tx.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err == nil {
		t.count(ctx, query, -1)
	}
	return rows, err //nolint:wrapcheck // as *sql.Tx
}

// QueryRowContext is that of *sql.Tx.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := t.tx.QueryRowContext(ctx, query, args...)
	if row.Err() == nil {
		t.count(ctx, query, -1)
	}
	return row
}

// PrepareContext is that of *sql.Tx. What the statement writes is counted here, once. A text that controls
// the transaction, such as SAVEPOINT, is refused with ErrControl: its statement would not be seen to run.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if t.tx.Controls(query) {
		return nil, fmt.Errorf("%w: %q", ErrControl, query)
	}
	stmt, err := t.sql.PrepareContext(ctx, query)
	if err == nil {
		t.count(ctx, query, -1)
	}
	return stmt, err //nolint:wrapcheck // as *sql.Tx
}

func (t *Tx) count(ctx context.Context, query string, rows int64) {
	capture.CountText(t.gorm.WithContext(ctx), query, rows)
}

// Commit commits and releases the records. Its errors are those of *sql.Tx; with a TxSink and the policy
// Strict also that of the sink, after which the transaction is rolled back. After an error that leaves
// open whether the transaction has committed, its records are OutcomeUnknown.
func (t *Tx) Commit() error { return t.tx.Commit() } //nolint:wrapcheck // as *sql.Tx

// Rollback rolls back and drops the records. After Commit it does nothing and gives sql.ErrTxDone, so that
// it can be deferred.
func (t *Tx) Rollback() error { return t.tx.Rollback() } //nolint:wrapcheck // as *sql.Tx
