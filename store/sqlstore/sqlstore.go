package sqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// Store keeps records in a table. Make one with New; it needs no closing, and its methods may be called
// concurrently.
type Store struct {
	cfg   Config
	d     dialect
	names sqltable.Names
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
	s := &Store{cfg: cfg, d: d, names: sqltable.NewNames(cfg.Table, d.Quote), pool: sqltable.PoolOf(db)}
	ctx := db.Statement.Context
	if s.names.Schema == "" {
		if s.names.Schema, err = d.Current(ctx, s.pool); err != nil {
			return nil, fmt.Errorf("sqlstore: current schema: %w", err)
		}
	}
	if !cfg.SkipMigrate {
		if err := s.schema().Migrate(ctx, s.pool, savepoint); err != nil {
			return nil, err
		}
	}
	s.initText(ctx)
	return s, nil
}

// Table gives the name of the table, quoted and with its schema.
func (s *Store) Table() string { return s.names.Table("") }

// inTx runs f in a transaction of its own.
func (s *Store) inTx(ctx context.Context, f func(conn gorm.ConnPool) error) error {
	return sqltable.InTx(ctx, s.pool, s.d, savepoint, nil, f)
}
