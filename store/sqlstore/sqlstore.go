package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// Store keeps records in a table. Make one with New; it needs no closing, and its methods may be called
// concurrently.
type Store struct {
	cfg   Config
	d     dialect
	names names
	// pool runs the store's own statements. It is below GORM and whatever plugins have put around the
	// connection pool.
	pool gorm.ConnPool
	text text
}

// New gives a store in the database of db, in which it creates the tables that are missing. Neither db
// nor its plugins see the store's statements. It returns all mistakes in cfg at once, an error that wraps
// ErrDialect, or one that wraps ErrTable if a table of another kind has the name.
func New(db *gorm.DB, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d, err := newDialect(db)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, d: d, names: newNames(cfg.Table, d.quote), pool: poolOf(db)}
	ctx := db.Statement.Context
	if s.names.schema == "" {
		if s.names.schema, err = d.current(ctx, s.pool); err != nil {
			return nil, fmt.Errorf("sqlstore: current schema: %w", err)
		}
	}
	if !cfg.SkipMigrate {
		if err := s.migrate(ctx); err != nil {
			return nil, err
		}
	}
	s.initText(ctx)
	return s, nil
}

// poolOf gives the pool of db without what GORM and plugins have wrapped around it. If GORM was opened
// on a transaction, it is that: GORM's DB would give the pool that the transaction was begun on.
func poolOf(db *gorm.DB) gorm.ConnPool {
	if _, open := db.Statement.ConnPool.(gorm.TxCommitter); open {
		return unprepared(db.Statement.ConnPool)
	}
	if raw, err := db.DB(); err == nil && raw != nil {
		return raw
	}
	return unprepared(db.Statement.ConnPool)
}

// Table gives the name of the table, quoted and with its schema.
func (s *Store) Table() string { return s.names.table("") }

// inTx runs f in a transaction of its own.
func (s *Store) inTx(ctx context.Context, f func(conn gorm.ConnPool) error) (err error) {
	db, ok := s.pool.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	})
	if !ok { // in the transaction that GORM was opened on
		return withSavepoint(ctx, s.pool, false, func() error { return f(s.pool) })
	}
	tx, err := db.BeginTx(ctx, nil)
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
