package sqltable

import (
	"context"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

// Dialect is what differs between the databases, for all tables of ours.
type Dialect interface {
	// Placeholder gives the placeholder of the n-th argument, from 1.
	Placeholder(n int) string
	Quote(ident string) string
	// Embedded reports whether the database is part of the program: a connection may be all that there is of it.
	Embedded() bool
	// Current gives the schema that unqualified names mean, "" where that does not matter.
	Current(ctx context.Context, conn gorm.ConnPool) (string, error)
	// Exists reports whether there is the table n.Table(suffix).
	Exists(ctx context.Context, conn gorm.ConnPool, n Names, suffix string) (bool, error)
	// Lock makes other processes wait that make the same tables, until the transaction ends.
	Lock(ctx context.Context, conn gorm.ConnPool, n Names) error
}

// Postgres is the Dialect of PostgreSQL.
type Postgres struct{}

// Embedded implements Dialect.
func (Postgres) Embedded() bool { return false }

// Placeholder implements Dialect.
func (Postgres) Placeholder(n int) string { return "$" + strconv.Itoa(n) }

// Quote implements Dialect.
func (Postgres) Quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

// Current implements Dialect.
func (Postgres) Current(ctx context.Context, conn gorm.ConnPool) (schema string, err error) {
	err = conn.QueryRowContext(ctx, "SELECT coalesce(current_schema(), '')").Scan(&schema)
	return schema, err
}

// Exists implements Dialect.
func (Postgres) Exists(ctx context.Context, conn gorm.ConnPool, n Names, suffix string) (found bool, err error) {
	err = conn.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", n.Table(suffix)).Scan(&found)
	return found, err
}

// Lock implements Dialect.
func (Postgres) Lock(ctx context.Context, conn gorm.ConnPool, n Names) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", n.Table(""))
	return err
}

// MySQL is the Dialect of MySQL and MariaDB.
type MySQL struct{}

// Embedded implements Dialect.
func (MySQL) Embedded() bool { return false }

// Placeholder implements Dialect.
func (MySQL) Placeholder(int) string { return "?" }

// Quote implements Dialect.
func (MySQL) Quote(ident string) string { return "`" + strings.ReplaceAll(ident, "`", "``") + "`" }

// Current implements Dialect.
func (MySQL) Current(ctx context.Context, conn gorm.ConnPool) (schema string, err error) {
	err = conn.QueryRowContext(ctx, "SELECT coalesce(database(), '')").Scan(&schema)
	return schema, err
}

// Exists implements Dialect.
func (MySQL) Exists(ctx context.Context, conn gorm.ConnPool, n Names, suffix string) (bool, error) {
	var count int
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = coalesce(nullif(?, ''), database()) AND table_name = ?",
		n.Schema, n.Base+suffix).Scan(&count)
	return count > 0, err
}

// Lock does nothing: each statement makes one table with all that belongs to it, and commits by itself.
func (MySQL) Lock(context.Context, gorm.ConnPool, Names) error { return nil }

// SQLite is the Dialect of SQLite.
type SQLite struct{}

// Embedded implements Dialect.
func (SQLite) Embedded() bool { return true }

// Placeholder implements Dialect.
func (SQLite) Placeholder(int) string { return "?" }

// Quote implements Dialect.
func (SQLite) Quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

// Current implements Dialect.
func (SQLite) Current(context.Context, gorm.ConnPool) (string, error) { return "", nil }

// Exists implements Dialect.
func (d SQLite) Exists(ctx context.Context, conn gorm.ConnPool, n Names, suffix string) (found bool, err error) {
	master := "sqlite_master"
	if n.Schema != "" {
		master = d.Quote(n.Schema) + ".sqlite_master"
	}
	err = conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM "+master+" WHERE type = 'table' AND name = ?", n.Base+suffix).Scan(&found)
	return found, err
}

// Lock does nothing: the first statement that writes takes the lock of the whole database.
func (SQLite) Lock(context.Context, gorm.ConnPool, Names) error { return nil }
