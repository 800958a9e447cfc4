package sqltable

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// onConn runs f with a connection of the pool, for which it waits no longer than ctx lives.
func onConn(ctx context.Context, db *sql.DB, f func(conn *sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back; an error only says that it is not in the pool any more
	return f(conn)
}

// holdTx runs f in a transaction on conn. When ctx ends, no further statement of f is run, and the transaction is
// rolled back; but the connection stays, and it stays without a transaction whatever happens. A transaction
// that database/sql begins with ctx does not do that: when ctx ends it closes the connection, unless the driver
// knows how to reset one, and no driver of SQLite does. A database in memory on a pool of one connection is then
// gone.
func holdTx(ctx context.Context, conn *sql.Conn, opts *sql.TxOptions, f func(conn gorm.ConnPool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), opts)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // f has panicked
			_ = rollback(ctx, conn, tx.Rollback)
		}
	}()
	if err = f(steady{tx}); err == nil {
		if err = ctx.Err(); err == nil {
			err = tx.Commit()
		}
	}
	done = true
	if err != nil {
		// Also after a COMMIT that failed: the drivers leave the transaction open then.
		return errors.Join(err, rollback(ctx, conn, tx.Rollback))
	}
	return nil
}

// steady runs each statement to its end, and none if its context has ended before. Statements that write are
// not to be interrupted: SQLite then rolls back the whole transaction, and what follows would be one of its own;
// and FTS5 keeps a statement open between those of a transaction, with which an interrupt that comes late stays
// in force for good, so that not even a ROLLBACK can be run.
type steady struct{ *sql.Tx }

func (s steady) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Tx.PrepareContext(context.WithoutCancel(ctx), query)
}

func (s steady) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Tx.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func (s steady) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Tx.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (s steady) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if ctx.Err() == nil {
		ctx = context.WithoutCancel(ctx)
	} // else database/sql gives the error of ctx without asking the driver
	return s.Tx.QueryRowContext(ctx, query, args...)
}

// InSnapshot runs f in a transaction of SQLite that only reads. It is begun by hand, because with
// _txlock=immediate in the DSN the driver would take the write lock. When ctx ends, the
// statement that runs is interrupted; the connection stays, as with holdTx.
func InSnapshot(ctx context.Context, pool gorm.ConnPool, f func(conn gorm.ConnPool) error) error {
	db, ok := pool.(*sql.DB)
	if !ok { // in the transaction that GORM was opened on
		return f(pool)
	}
	return onConn(ctx, db, func(conn *sql.Conn) error {
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), "BEGIN"); err != nil {
			return err
		}
		done := false
		end := func() error { return rollback(ctx, conn, func() error { return errOpen }) }
		defer func() {
			if !done { // f has panicked
				_ = end()
			}
		}()
		err := f(conn)
		done = true
		return errors.Join(err, end())
	})
}

// errOpen says that a transaction has not been rolled back yet.
var errOpen = errors.New("sqltable: transaction is open")

// rollbacks is how often a rollback is tried. The end of a context interrupts the statement that runs then,
// and the drivers may be late with it, so that it meets the ROLLBACK behind.
const rollbacks = 5

// rollback ends the transaction of a connection of SQLite, first by the given call. Afterwards the connection
// has none, or is not given back to the pool.
func rollback(ctx context.Context, conn *sql.Conn, first func() error) error {
	ctx = context.WithoutCancel(ctx)
	err := first()
	for range rollbacks {
		if err == nil || isRolledBack(err) {
			return nil
		}
		_, err = conn.ExecContext(ctx, "ROLLBACK")
	}
	if err == nil || isRolledBack(err) {
		return nil
	}
	// In an unknown state it must not be given to anybody.
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	return fmt.Errorf("roll back: %w", err)
}

// isRolledBack reports whether err is that of a ROLLBACK without a transaction: SQLite has rolled back by
// itself, which it does when a statement that writes is interrupted.
func isRolledBack(err error) bool { return strings.Contains(err.Error(), "no transaction is active") }
