package sqlstore

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/internal/sqltable"
)

// Defaults of Config.
const (
	DefaultTable       = "audit_logs"
	DefaultLockTimeout = 2 * time.Second
)

// Config configures a Store. All fields are optional.
type Config struct {
	// Table is the name of the table, with or without a schema. The store also makes tables whose names
	// begin with it (Table_meta, Table_text, …). Defaults to DefaultTable, on PostgreSQL in the schema that
	// is current when New is called.
	Table string
	// SkipMigrate keeps New from creating the tables: run the statements of Migration yourself.
	SkipMigrate bool
	// Strict makes an error of WriteTx break the application's transaction, and saves its savepoint. It
	// goes with the audit policy of the same name.
	Strict bool
	// LockTimeout is how long WriteTx waits for a lock on the table, on PostgreSQL and unless Strict is
	// set; else the connection's own setting holds. It does not outlast WriteTx. Negative means the
	// connection's setting. Defaults to DefaultLockTimeout.
	LockTimeout time.Duration
	// NoTextIndex keeps the store from making and filling a full-text index. Text is then found by
	// reading all records that the rest of the query lets through.
	NoTextIndex bool
	// Logger is told what the operator should know. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = DefaultLockTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if !sqltable.ValidTable.MatchString(c.Table) {
		errs = append(errs, fmt.Errorf("sqlstore: Config.Table is %q, want at most 48 letters, digits, _ and $, with or without a schema", c.Table))
	}
	return errors.Join(errs...)
}
