package capture

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/tx"
)

// probeName is the callback by which a handle's engine is found again: sessions share the callbacks.
const probeName = "audit:engine"

type probe struct{ engine *engine }

// engineOf gives the engine of a handle, nil if it has none.
func engineOf(db *gorm.DB) *engine {
	f := db.Callback().Raw().Get(probeName)
	if f == nil {
		return nil
	}
	var p probe
	f(&gorm.DB{Config: db.Config, Statement: &gorm.Statement{Dest: &p}})
	return p.engine
}

// Install starts capturing the writes of db and its sessions: it wraps the connection pool inside
// prepared statements, and GORM's handlers. It may be called again for the same handle, as plugins that
// open further databases do; the first hooks stay. It is to be called before db is used by several
// goroutines.
func Install(db *gorm.DB, hooks Hooks, cfg Config) error {
	if e := engineOf(db); e != nil {
		e.wrapPool(db)
		return nil
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if err := hooks.validate(); err != nil {
		return err
	}
	d, err := dialectOf(db, cfg)
	if err != nil {
		return err
	}
	e := &engine{hooks: hooks, cfg: cfg, dialect: d}
	e.tx = e.guardedTx()
	e.wrapPool(db)
	e.wrapClauses(db)
	return e.register(db)
}

func (h *Hooks) validate() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"BeforeCommit", h.BeforeCommit != nil},
		{"AfterCommit", h.AfterCommit != nil},
		{"Discarded", h.Discarded != nil},
		{"Model", h.Model != nil},
		{"Captured", h.Captured != nil},
		{"Skipped", h.Skipped != nil},
		{"Failed", h.Failed != nil},
	} {
		if !f.set {
			return fmt.Errorf("%w: Hooks.%s is nil", ErrConfig, f.name)
		}
	}
	return nil
}

func (e *engine) wrapPool(db *gorm.DB) {
	pool := db.Config.ConnPool
	if pool == nil {
		return
	}
	same := db.Statement != nil && db.Statement.ConnPool == pool
	db.Config.ConnPool = tx.Wrap(pool, e.tx)
	if same {
		db.Statement.ConnPool = db.Config.ConnPool
	} else if db.Statement != nil {
		db.Statement.ConnPool = tx.Wrap(db.Statement.ConnPool, e.tx)
	}
}

// wrapClauses lets the clauses of a captured statement say where they begin in its text. Nothing else
// could cut the text exactly, since conditions may be any SQL.
func (e *engine) wrapClauses(db *gorm.DB) {
	if db.ClauseBuilders == nil {
		db.Config.ClauseBuilders = map[string]clause.ClauseBuilder{}
	}
	for _, name := range []string{"SET", "FROM", "WHERE", "ORDER BY", "LIMIT", "RETURNING"} {
		prev := db.ClauseBuilders[name]
		db.ClauseBuilders[name] = func(c clause.Clause, b clause.Builder) {
			if st, ok := b.(*gorm.Statement); ok {
				if p := captureOf(st.ConnPool); p != nil && p.st == st {
					p.marks.put(name, st)
				}
			}
			if prev != nil {
				prev(c, b)
			} else {
				c.Build(b)
			}
		}
	}
}

// guardedTx gives the transaction hooks without panics: one in BeforeCommit is an error only under the
// strict policy.
func (e *engine) guardedTx() *tx.Hooks {
	t := e.dialect.traits()
	return &tx.Hooks{
		Lost:       t.lost,
		CommitsDDL: t.ddl, LazyQueries: t.lazy,
		BeforeCommit: func(ctx context.Context, conn gorm.ConnPool, items []tx.Item) error {
			var hookErr error
			err := e.safe(nil, func() error {
				hookErr = e.hooks.BeforeCommit(ctx, conn, items)
				return nil
			})
			if hookErr != nil {
				return hookErr
			}
			if e.hooks.Strict != nil && e.hooks.Strict(nil, 0) {
				return err
			}
			return nil
		},
		AfterCommit: func(ctx context.Context, items []tx.Item) {
			_ = e.safe(nil, func() error {
				e.hooks.AfterCommit(ctx, items)
				return nil
			})
		},
		InDoubt: e.guardedInDoubt(),
		Discarded: func(items []tx.Item) {
			_ = e.safe(nil, func() error {
				e.hooks.Discarded(items)
				return nil
			})
		},
	}
}

func (e *engine) guardedInDoubt() func(context.Context, []tx.Item, error) {
	if e.hooks.InDoubt == nil {
		return nil
	}
	return func(ctx context.Context, items []tx.Item, cause error) {
		_ = e.safe(nil, func() error {
			e.hooks.InDoubt(ctx, items, cause)
			return nil
		})
	}
}
