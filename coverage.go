package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// Coverage says which tables of a database are audited, and what went past the trail.
type Coverage struct {
	// Models are the registered models, ordered by full type.
	Models []ModelCoverage `json:"models"`
	// Unaudited are the tables whose changes nobody records, ordered by name: those that the database
	// has, without the trail's own, and those that were written.
	Unaudited []TableCoverage `json:"unaudited"`
}

// ModelCoverage is what happened to a registered model.
type ModelCoverage struct {
	Info
	// Table is the model's table.
	Table string `json:"table"`
	// Skipped counts the writes that were not recorded, by reason: those of Stats.Skipped, such as "raw
	// SQL". Statements of other programs and cascades inside the database are not seen.
	Skipped map[string]int64 `json:"skipped"`
}

// TableCoverage is what happened to a table that is not audited.
type TableCoverage struct {
	Table string `json:"table"`
	// Writes counts the statements that wrote it through the handle, with a model, by the table's name
	// or as SQL text.
	Writes int64 `json:"writes"`
}

// Coverage reports on the database of db, whose plugin must use the registry. It asks the database for
// its tables (on PostgreSQL those of the current schema); the counters are those since db.Use, of all
// handles of the plugin for models, and of this one for other tables.
//
// The error is ErrNotInstalled, wraps ErrConfig if the plugin uses another registry, or is the
// database's.
func (r *Registry) Coverage(db *gorm.DB) (Coverage, error) {
	h := handleOf(db)
	if h == nil {
		return Coverage{}, ErrNotInstalled
	}
	if h.auditor.cfg.Registry != r {
		return Coverage{}, fmt.Errorf("%w: the plugin of the handle uses another registry", ErrConfig)
	}
	names, err := db.Session(&gorm.Session{NewDB: true, Context: db.Statement.Context}).Migrator().GetTables()
	if err != nil {
		return Coverage{}, fmt.Errorf("audit: list the tables: %w", err)
	}
	ts := h.current(db.Statement.Context)
	skipped := h.auditor.Stats().Skipped
	c := Coverage{Models: []ModelCoverage{}, Unaudited: []TableCoverage{}}
	for _, t := range ts.list {
		m := ModelCoverage{Info: t.model.info, Table: t.schema.Table, Skipped: skipped[t.schema.Table]}
		if m.Skipped == nil {
			m.Skipped = map[string]int64{}
		}
		c.Models = append(c.Models, m)
	}
	slices.SortFunc(c.Models, func(a, b ModelCoverage) int {
		return cmp.Or(cmp.Compare(a.AppLabel, b.AppLabel), cmp.Compare(a.ModelName, b.ModelName))
	})
	writes := h.others.counts()
	for _, name := range names {
		if _, written := writes[name]; !written {
			writes[name] = 0
		}
	}
	for name, n := range writes {
		if ts.byName[name] == nil && !h.ownTable(name) {
			c.Unaudited = append(c.Unaudited, TableCoverage{name, n})
		}
	}
	slices.SortFunc(c.Unaudited, func(a, b TableCoverage) int { return cmp.Compare(a.Table, b.Table) })
	return c, nil
}

// ownTable reports whether a table is the embedded store's, the database's own, or one through which
// GORM's migrator of SQLite moves the rows of another.
func (h *handle) ownTable(name string) bool {
	if strings.HasPrefix(name, "sqlite_") || strings.HasSuffix(name, "__temp") {
		return true
	}
	if !h.auditor.cfg.embedded() {
		return false
	}
	own := DefaultTable
	if h.auditor.cfg.Table != "" {
		own = bareName(h.auditor.cfg.Table)
	}
	return name == own || strings.HasPrefix(name, own+"_")
}

// maxOthers bounds how many names of tables are counted: an application may make them up.
const maxOthers = 4096

// otherTables counts writes to tables that are not registered. It costs one look-up for each.
type otherTables struct {
	byName sync.Map // string -> *atomic.Int64
	known  atomic.Int64
}

func (o *otherTables) count(name string) {
	if name == "" {
		return
	}
	n, ok := o.byName.Load(name)
	if !ok {
		if o.known.Load() >= maxOthers {
			return
		}
		var loaded bool
		if n, loaded = o.byName.LoadOrStore(strings.Clone(name), new(atomic.Int64)); !loaded {
			o.known.Add(1)
		}
	}
	n.(*atomic.Int64).Add(1)
}

func (o *otherTables) counts() map[string]int64 {
	m := make(map[string]int64)
	o.byName.Range(func(name, n any) bool {
		m[name.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	return m
}
