package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// Unprepared gives the connection below GORM's cache of prepared statements.
func Unprepared(conn gorm.ConnPool) gorm.ConnPool {
	switch c := conn.(type) {
	case *gorm.PreparedStmtTX:
		return c.Tx
	case *gorm.PreparedStmtDB:
		return c.ConnPool
	}
	return conn
}

// PoolOf gives the pool of db without what GORM and plugins have wrapped around it. If GORM was opened
// on a transaction, it is that: GORM's DB would give the pool that the transaction was begun on.
func PoolOf(db *gorm.DB) gorm.ConnPool {
	if _, open := db.Statement.ConnPool.(gorm.TxCommitter); open {
		return Unprepared(db.Statement.ConnPool)
	}
	if raw, err := db.DB(); err == nil && raw != nil {
		return raw
	}
	return Unprepared(db.Statement.ConnPool)
}

// beginner is a pool or a connection.
type beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// InTx runs f in a transaction of its own, or behind the savepoint if pool is a transaction. On SQLite the end
// of ctx ends the statements, but never the connection; see holdTx.
func InTx(ctx context.Context, pool gorm.ConnPool, d Dialect, savepoint string, opts *sql.TxOptions, f func(conn gorm.ConnPool) error) (err error) {
	if d.Embedded() {
		switch p := pool.(type) {
		case *sql.DB:
			return onConn(ctx, p, func(conn *sql.Conn) error { return holdTx(ctx, conn, opts, f) })
		case *sql.Conn:
			return holdTx(ctx, p, opts, f)
		}
	}
	db, ok := pool.(beginner)
	if !ok { // in the transaction that GORM was opened on
		return WithSavepoint(ctx, pool, savepoint, func() error { return f(pool) })
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if e := tx.Rollback(); e != nil && !errors.Is(e, sql.ErrTxDone) {
				err = errors.Join(err, e)
			}
		}
	}()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// WithSavepoint runs f so that the transaction of conn can go on if it fails: then nothing of it is left.
func WithSavepoint(ctx context.Context, conn gorm.ConnPool, savepoint string, f func() error) error {
	if _, err := conn.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return err
	}
	err := f()
	if err == nil {
		_, err = conn.ExecContext(ctx, "RELEASE SAVEPOINT "+savepoint)
	}
	if err != nil {
		return errors.Join(err, RollbackTo(ctx, conn, savepoint))
	}
	return nil
}

// RollbackTo undoes what was done since the savepoint, and removes it, also if ctx has ended: what was lost for
// the caller must not be in the transaction all the same.
func RollbackTo(ctx context.Context, conn gorm.ConnPool, savepoint string) error {
	ctx = context.WithoutCancel(ctx)
	for _, s := range []string{"ROLLBACK TO SAVEPOINT " + savepoint, "RELEASE SAVEPOINT " + savepoint} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("after it: %w", err)
		}
	}
	return nil
}

// Exec runs a statement and gives the number of rows.
func Exec(ctx context.Context, conn gorm.ConnPool, query string, args ...any) (int64, error) {
	res, err := conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
