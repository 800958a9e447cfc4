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

// Variant is a way to write.
type Variant struct {
	Name string
	// Install is called once for an open handle on which the variant's writes are made; nil means that it
	// stays as it is.
	Install func(db *gorm.DB) (Installed, error)
	// Model gives a pointer to the variant's own model with the values of the row, of the table customers;
	// nil means that the row itself is written.
	Model func(c *Customer) any
}

// model gives what is written for the row.
func (v *Variant) model(c *Customer) any {
	if v.Model == nil {
		return c
	}
	return v.Model(c)
}

// Installed is a variant on a handle.
type Installed interface {
	// Check gives an error unless so many rows were recorded since the beginning: a write that is not
	// recorded costs less.
	Check(rows int64) error
	Close(ctx context.Context) error
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
var variants = []Variant{ //nolint:gochecknoglobals // a table
	{Name: plainGORM},
	{Name: capturing, Install: func(db *gorm.DB) (Installed, error) {
		return install(db, audit.Config{Sink: &dropSink{}}, &Customer{})
	}},
	{Name: embedded, Install: func(db *gorm.DB) (Installed, error) { return install(db, audit.Config{}, &Customer{}) }},
	{Name: unregistered, Install: func(db *gorm.DB) (Installed, error) { return install(db, audit.Config{}) }},
	{Name: naive, Install: installNaive},
}

// dropSink takes records and forgets them, unless it is told to keep.
type dropSink struct {
	keep bool
	kept []event.Record
}

func (d *dropSink) Write(_ context.Context, records []event.Record) error {
	if d.keep {
		d.kept = append(d.kept, records...)
	}
	return nil
}

// ours is a handle with the plugin.
type ours struct {
	auditor *audit.Auditor
	models  int
	sink    *dropSink // nil: embedded
	seen    map[string]bool
}

func install(db *gorm.DB, cfg audit.Config, models ...any) (Installed, error) {
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
	sink, _ := cfg.Sink.(*dropSink)
	return &ours{auditor: a, models: len(models), sink: sink, seen: make(map[string]bool)}, nil
}

func (o *ours) Check(rows int64) error {
	if o.models == 0 {
		rows = 0
	}
	if s := o.auditor.Stats(); s.Emitted != rows || s.Failed > 0 || len(s.Errors) > 0 {
		return fmt.Errorf("%d records, want %d: %+v", s.Emitted, rows, s)
	}
	return nil
}

func (o *ours) Close(ctx context.Context) error { return o.auditor.Shutdown(ctx) }

// handle is an open database of one variant.
type handle struct {
	variant   Variant
	plain     *gorm.DB // to prepare, never measured
	db        *gorm.DB
	installed Installed // nil for plain GORM
	remove    func() error
	server    func() (cpu int64) // nanoseconds of the server for this connection; nil: not known
	wire      *wire              // nil: not counted
	rows      int64              // written so far
}

// openHandle opens an empty database with the table of customers.
func openHandle(ctx context.Context, s *section, v Variant, resident int) (*handle, error) {
	d, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	h := &handle{variant: v, plain: d.db, db: d.db, remove: d.remove, server: d.server, wire: d.wire}
	fail := func(err error) (*handle, error) {
		return nil, errors.Join(fmt.Errorf("%s: %w", v.Name, err), h.close(ctx))
	}
	if err := populate(d.db.WithContext(ctx), resident); err != nil {
		return fail(err)
	}
	if v.Install == nil {
		return h, nil
	}
	// The plugin belongs to a handle of its own on the same connection.
	if h.db, err = d.again(); err != nil {
		return fail(err)
	}
	if h.installed, err = v.Install(h.db); err != nil {
		return fail(err)
	}
	return h, nil
}

func (h *handle) check() error {
	if h.installed == nil {
		return nil
	}
	if err := h.installed.Check(h.rows); err != nil {
		return fmt.Errorf("%s: %w", h.variant.Name, err)
	}
	return nil
}

func (h *handle) close(ctx context.Context) error {
	var err error
	if h.installed != nil {
		err = h.installed.Close(context.WithoutCancel(ctx))
	}
	return errors.Join(err, h.remove())
}
