package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// schemaVersion is the version of the tables that this package makes and reads.
const schemaVersion = 1

// Migration gives the statements that make the tables, for use with Config.SkipMigrate. The last ones,
// from the first that begins with DROP, make the text index, and can be left out. On PostgreSQL and MySQL give the table with its schema, or run them where New will find the same current one.
func Migration(db *gorm.DB, table string) ([]string, error) {
	cfg := Config{Table: table}.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d, err := newDialect(db)
	if err != nil {
		return nil, err
	}
	s := &Store{d: d, names: newNames(cfg.Table, d.quote)}
	statements := append(d.create(s.names), stamp(s.names, "schema_version", strconv.Itoa(schemaVersion)))
	if index := newTextIndex(s); index != nil {
		statements = append(statements, index.create()...)
		statements = append(statements, stamp(s.names, "text_version", textVersion))
	}
	return statements, nil
}

func stamp(n names, name, value string) string {
	return "INSERT INTO " + n.table("_meta") + " (name, value) VALUES ('" + name + "', '" + value + "')"
}

// migrate makes the tables if they are missing. When several processes start at once, one makes them
// and the others find them.
func (s *Store) migrate(ctx context.Context) error {
	const tries = 20
	var err error
	for i := range tries {
		var done bool
		if done, err = s.current(ctx, s.pool); done || errors.Is(err, ErrTable) {
			return err
		}
		if err == nil {
			err = s.inTx(ctx, func(conn gorm.ConnPool) error { return s.createTables(ctx, conn) })
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
	return fmt.Errorf("sqlstore: create table %s: %w", s.names.table(""), err)
}

func (s *Store) createTables(ctx context.Context, conn gorm.ConnPool) error {
	if err := s.d.lock(ctx, conn, s.names); err != nil {
		return err
	}
	for i, statement := range s.d.create(s.names) {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
		// The first statement has taken the lock, so that now nobody else is making them.
		if i == 0 {
			if done, err := s.current(ctx, conn); err != nil || done {
				return err
			}
		}
	}
	_, err := conn.ExecContext(ctx, stamp(s.names, "schema_version", strconv.Itoa(schemaVersion)))
	return err
}

// current reports whether the tables are there in the version of this package. It returns an error that
// wraps ErrTable if there is something else.
func (s *Store) current(ctx context.Context, conn gorm.ConnPool) (bool, error) {
	// In this order: _meta is made before the table, or together with it.
	found, err := s.d.exists(ctx, conn, s.names, "")
	if err != nil {
		return false, fmt.Errorf("sqlstore: look for table %s: %w", s.names.table(""), err)
	}
	meta, err := s.d.exists(ctx, conn, s.names, "_meta")
	if err != nil {
		return false, fmt.Errorf("sqlstore: look for table %s: %w", s.names.table("_meta"), err)
	}
	if !meta {
		if found {
			return false, fmt.Errorf("%w: %s exists and was not made by this package: choose another Config.Table", ErrTable, s.names.table(""))
		}
		return false, nil
	}
	value, err := s.meta(ctx, conn, "schema_version")
	if err != nil {
		return false, fmt.Errorf("sqlstore: read %s: %w", s.names.table("_meta"), err)
	}
	if value == "" {
		return false, nil // half made, or being made
	}
	if version, err := strconv.Atoi(value); err != nil || version > schemaVersion {
		return false, fmt.Errorf("%w: %s has version %q, want at most %d: use a newer release of this module", ErrTable, s.names.table(""), value, schemaVersion)
	}
	return true, nil
}

// meta gives a value of the table _meta, "" if it is not there.
func (s *Store) meta(ctx context.Context, conn gorm.ConnPool, name string) (value string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT value FROM "+s.names.table("_meta")+" WHERE name = "+s.d.placeholder(1), name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		err = rows.Scan(&value)
	}
	return value, errors.Join(err, rows.Err())
}
