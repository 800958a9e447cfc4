package sqltable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// Schema says how tables are made that belong together. One of them is called _meta; it has columns
// name and value, and the version of the tables in it.
type Schema struct {
	// Package begins the texts of errors.
	Package string
	Dialect Dialect
	Names   Names
	Version int
	// Create are the statements that make the tables, _meta first.
	Create []string
	// Fill are statements that follow them; the version is written last.
	Fill []string
	// Foreign is wrapped by the error that says that the table is not ours, or of a newer version.
	Foreign error
}

// Statements gives all statements that make the tables.
func (s Schema) Statements() []string {
	all := append(append([]string(nil), s.Create...), s.Fill...)
	return append(all, Stamp(s.Names, "schema_version", strconv.Itoa(s.Version)))
}

// Stamp gives the statement that puts a value into _meta.
func Stamp(n Names, name, value string) string {
	return "INSERT INTO " + n.Table("_meta") + " (name, value) VALUES ('" + name + "', '" + value + "')"
}

// Migrate makes the tables if they are missing. When several processes start at once, one makes them
// and the others find them.
func (s Schema) Migrate(ctx context.Context, pool gorm.ConnPool, savepoint string) error {
	const tries = 20
	var err error
	for i := range tries {
		var done bool
		if done, err = s.Made(ctx, pool); done || errors.Is(err, s.Foreign) {
			return err
		}
		if err == nil {
			err = InTx(ctx, pool, s.Dialect, savepoint, nil, func(conn gorm.ConnPool) error { return s.make(ctx, conn) })
			if err == nil {
				return nil
			}
		}
		// Another process may be just making them: look again after a while.
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(time.Duration(i+1) * 10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: create table %s: %w", s.Package, s.Names.Table(""), err)
}

func (s Schema) make(ctx context.Context, conn gorm.ConnPool) error {
	if err := s.Dialect.Lock(ctx, conn, s.Names); err != nil {
		return err
	}
	for i, statement := range s.Create {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
		// The first statement has taken the lock, so that now nobody else is making them.
		if i == 0 {
			if done, err := s.Made(ctx, conn); err != nil || done {
				return err
			}
		}
	}
	for _, statement := range append(append([]string(nil), s.Fill...), Stamp(s.Names, "schema_version", strconv.Itoa(s.Version))) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Made reports whether the tables are there in this version. It returns an error that wraps Foreign if
// there is something else.
func (s Schema) Made(ctx context.Context, conn gorm.ConnPool) (bool, error) {
	// In this order: _meta is made before the table, or together with it.
	found, err := s.Dialect.Exists(ctx, conn, s.Names, "")
	if err != nil {
		return false, fmt.Errorf("%s: look for table %s: %w", s.Package, s.Names.Table(""), err)
	}
	meta, err := s.Dialect.Exists(ctx, conn, s.Names, "_meta")
	if err != nil {
		return false, fmt.Errorf("%s: look for table %s: %w", s.Package, s.Names.Table("_meta"), err)
	}
	if !meta {
		if found {
			return false, fmt.Errorf("%w: %s exists and was not made by this package: choose another Config.Table", s.Foreign, s.Names.Table(""))
		}
		return false, nil
	}
	value, err := Meta(ctx, conn, s.Dialect, s.Names, "schema_version")
	if err != nil {
		return false, fmt.Errorf("%s: read %s: %w", s.Package, s.Names.Table("_meta"), err)
	}
	if value == "" {
		return false, nil // half made, or being made
	}
	if version, err := strconv.Atoi(value); err != nil || version > s.Version {
		return false, fmt.Errorf("%w: %s has version %q, want at most %d: use a newer release of this module", s.Foreign, s.Names.Table(""), value, s.Version)
	}
	return true, nil
}

// Meta gives a value of the table _meta, "" if it is not there.
func Meta(ctx context.Context, conn gorm.ConnPool, d Dialect, n Names, name string) (value string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT value FROM "+n.Table("_meta")+" WHERE name = "+d.Placeholder(1), name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		err = rows.Scan(&value)
	}
	return value, errors.Join(err, rows.Err())
}
