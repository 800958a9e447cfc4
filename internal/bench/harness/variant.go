package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// variant is a way to write.
type variant struct {
	name string
	// install is called once for an open handle on which the variant's writes are made; nil means that it
	// stays as it is.
	install func(db *gorm.DB) (installed, error)
}

// installed is a variant on a handle.
type installed interface {
	// check gives an error unless so many rows were recorded since the beginning: a write that is not
	// recorded costs less.
	check(rows int64) error
	close(ctx context.Context) error
}

// Names of the variants.
const (
	plainGORM    = "plain GORM"
	capturing    = "capture only"
	embedded     = "embedded"
	unregistered = "not registered"
	naive        = "naive"
)

// variants has plain GORM first, to which the others are compared.
var variants = []variant{ //nolint:gochecknoglobals // a table
	{plainGORM, nil},
	{capturing, func(db *gorm.DB) (installed, error) { return install(db, audit.Config{Sink: dropSink{}}, &Customer{}) }},
	{embedded, func(db *gorm.DB) (installed, error) { return install(db, audit.Config{}, &Customer{}) }},
	{unregistered, func(db *gorm.DB) (installed, error) { return install(db, audit.Config{}) }},
	{naive, installNaive},
}

// dropSink takes records and forgets them.
type dropSink struct{}

func (dropSink) Write(context.Context, []event.Record) error { return nil }

// ours is a handle with the plugin.
type ours struct {
	auditor *audit.Auditor
	models  int
}

func install(db *gorm.DB, cfg audit.Config, models ...any) (installed, error) {
	cfg.Registry = audit.NewRegistry()
	cfg.Logger = slog.New(slog.DiscardHandler)
	for _, m := range models {
		if err := cfg.Registry.Register(m); err != nil {
			return nil, err
		}
	}
	a := audit.New(cfg)
	if err := db.Use(a); err != nil {
		return nil, err
	}
	return &ours{a, len(models)}, nil
}

func (o *ours) check(rows int64) error {
	if o.models == 0 {
		rows = 0
	}
	if s := o.auditor.Stats(); s.Emitted != rows || s.Failed > 0 || len(s.Errors) > 0 {
		return fmt.Errorf("%d records, want %d: %+v", s.Emitted, rows, s)
	}
	return nil
}

func (o *ours) close(ctx context.Context) error { return o.auditor.Shutdown(ctx) }

// handle is an open database of one variant.
type handle struct {
	variant   variant
	plain     *gorm.DB // to prepare, never measured
	db        *gorm.DB
	installed installed // nil for plain GORM
	remove    func() error
	server    func() (cpu int64) // nanoseconds of the server for this connection; nil: not known
	wire      *wire              // nil: not counted
	rows      int64              // written so far
}

// openHandle opens an empty database with the table of customers.
func openHandle(ctx context.Context, s *section, v variant, resident int) (*handle, error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	h := &handle{variant: v, plain: d.db, db: d.db, remove: d.remove, server: d.server, wire: d.wire}
	fail := func(err error) (*handle, error) {
		return nil, errors.Join(fmt.Errorf("%s: %w", v.name, err), h.close(ctx))
	}
	if err := populate(d.db.WithContext(ctx), resident); err != nil {
		return fail(err)
	}
	if v.install == nil {
		return h, nil
	}
	// The plugin belongs to a handle of its own on the same connection.
	if h.db, err = d.again(); err != nil {
		return fail(err)
	}
	if h.installed, err = v.install(h.db); err != nil {
		return fail(err)
	}
	return h, nil
}

func (h *handle) check() error {
	if h.installed == nil {
		return nil
	}
	if err := h.installed.check(h.rows); err != nil {
		return fmt.Errorf("%s: %w", h.variant.name, err)
	}
	return nil
}

func (h *handle) close(ctx context.Context) error {
	var err error
	if h.installed != nil {
		err = h.installed.close(context.WithoutCancel(ctx))
	}
	return errors.Join(err, h.remove())
}
