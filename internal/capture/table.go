package capture

import (
	"context"

	"gorm.io/gorm"
)

// table is what the catalogue says of a table.
type table struct {
	// columns are those that exist and may be read.
	columns map[string]bool
	// fresh are columns whose value, if an INSERT does not give one, is never in conflict: NULL, or the
	// next number of the table.
	fresh map[string]bool
	// auto is the column whose numbers the database makes (MySQL), empty if there is none.
	auto string
	// ordinary says that it is a plain table: no view, not partitioned.
	ordinary bool
	// guarded says that what we add may fail for some rows only, as with row level security: each
	// statement runs behind a savepoint, however often one has succeeded.
	guarded bool
	// unique are the columns of each unique key, the primary key among them. A key with expressions
	// has nil.
	unique []uniqueKey
}

type uniqueKey struct {
	name    string
	columns []string // nil: an expression is among them
	// sure says that no two rows of the table are ever equal in it: it has all rows, and no NULLs.
	sure bool
}

func (t *table) readable(column string) bool { return t.columns[column] }

// tableOf gives what the catalogue says of the table of w. It asks once for each table.
func (e *engine) tableOf(w *write, sqlName string) (*table, error) {
	if t, ok := e.tables.Load(sqlName); ok {
		return t.(*table), nil //nolint:forcetypeassert // only tables are stored
	}
	t, err := e.dialect.describe(w, sqlName)
	if err != nil {
		return nil, err
	}
	if len(t.columns) == 0 {
		return t, nil // not there (yet): ask again
	}
	actual, _ := e.tables.LoadOrStore(sqlName, t)
	return actual.(*table), nil //nolint:forcetypeassert // only tables are stored
}

// rewrite lets the statements of ours have other texts from now on: a prepared one whose result has
// another type since a migration would fail for ever.
func (e *engine) rewrite() {
	e.generation.Add(1)
	e.forget()
}

// forget drops what is known of all tables, after their definitions may have changed.
func (e *engine) forget() {
	e.tables.Clear()
	e.plans.Clear()
}

// query reads all rows of a query of our own.
func queryAll(ctx context.Context, conn gorm.ConnPool, query string, args []any, each func(scan func(dest ...any) error) error) error {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // read to the end
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
