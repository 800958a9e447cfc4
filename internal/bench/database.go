package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// database is a kind of database with its settings. open makes an empty one, with a function that
// removes it.
type database struct {
	name string
	open func(ctx context.Context) (*gorm.DB, func() error, error)
}

func databases(dsn string) []database {
	return []database{
		{"PostgreSQL", func(ctx context.Context) (*gorm.DB, func() error, error) { return openPostgres(ctx, dsn) }},
		{"PostgreSQL, `synchronous_commit=off`", func(ctx context.Context) (*gorm.DB, func() error, error) {
			return openPostgres(ctx, dsn+" synchronous_commit=off")
		}},
		{"SQLite, a file, WAL, `synchronous=FULL`", func(context.Context) (*gorm.DB, func() error, error) { return openSQLite("FULL") }},
		{"SQLite, a file, WAL, `synchronous=NORMAL`", func(context.Context) (*gorm.DB, func() error, error) { return openSQLite("NORMAL") }},
	}
}

func openPostgres(ctx context.Context, dsn string) (*gorm.DB, func() error, error) {
	var suffix [6]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return nil, nil, err
	}
	schema := "bench_" + hex.EncodeToString(suffix[:])
	admin, err := connect(postgres.Open(dsn))
	if err != nil {
		return nil, nil, err
	}
	if err := admin.WithContext(ctx).Exec("CREATE SCHEMA " + schema).Error; err != nil {
		return nil, nil, errors.Join(err, disconnect(admin))
	}
	remove := func() error {
		return errors.Join(admin.Exec("DROP SCHEMA "+schema+" CASCADE").Error, disconnect(admin))
	}
	db, err := connect(postgres.Open(dsn + " search_path=" + schema))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return db, func() error { return errors.Join(disconnect(db), remove()) }, nil
}

func openSQLite(synchronous string) (*gorm.DB, func() error, error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.RemoveAll(folder) }
	db, err := connect(sqlite.Open(filepath.Join(folder, "bench.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(" + synchronous + ")"))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return db, func() error { return errors.Join(disconnect(db), remove()) }, nil
}

func connect(d gorm.Dialector) (*gorm.DB, error) {
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // what is measured is one write after the other
	return db, nil
}

func disconnect(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// variant is a way to write: without the plugin, or with it.
type variant struct {
	name   string
	plugin func() (*audit.Auditor, error) // nil: none
}

// variants has plain GORM first, to which the others are compared.
var variants = []variant{ //nolint:gochecknoglobals // a table
	{"plain GORM", nil},
	{"embedded", func() (*audit.Auditor, error) { return newAuditor(audit.Config{}) }},
	{"capture only", func() (*audit.Auditor, error) { return newAuditor(audit.Config{Sink: dropSink{}}) }},
}

func newAuditor(cfg audit.Config) (*audit.Auditor, error) {
	cfg.Registry = audit.NewRegistry()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if err := cfg.Registry.Register(&Customer{}); err != nil {
		return nil, err
	}
	return audit.New(cfg), nil
}

// dropSink takes records and forgets them.
type dropSink struct{}

func (dropSink) Write(context.Context, []event.Record) error { return nil }

// handle is an open database of one variant.
type handle struct {
	variant variant
	plain   *gorm.DB // to prepare, never measured
	db      *gorm.DB
	auditor *audit.Auditor
	remove  func() error
}

// openHandle opens an empty database with an empty table of customers.
func openHandle(ctx context.Context, d database, v variant) (*handle, error) {
	db, remove, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	h := &handle{variant: v, plain: db, db: db, remove: remove}
	if err := db.AutoMigrate(&Customer{}); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	if v.plugin == nil {
		return h, nil
	}
	// The plugin belongs to a handle of its own on the same connection.
	pool, err := db.DB()
	if err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	var dialector gorm.Dialector
	switch db.Name() {
	case "postgres":
		dialector = postgres.New(postgres.Config{Conn: pool})
	default:
		dialector = sqlite.Dialector{Conn: pool}
	}
	if h.db, err = gorm.Open(dialector, &gorm.Config{Logger: logger.Discard}); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	if h.auditor, err = v.plugin(); err == nil {
		err = h.db.Use(h.auditor)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", v.name, err), h.close(ctx))
	}
	return h, nil
}

func (h *handle) close(ctx context.Context) error {
	return errors.Join(h.auditor.Shutdown(context.WithoutCancel(ctx)), h.remove())
}
