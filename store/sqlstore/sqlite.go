package sqlstore

import (
	"context"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type sqlite struct{ sqltable.SQLite }

func (sqlite) locate(text, placeholder string) string {
	return "instr(" + text + "," + placeholder + ")"
}

// create makes a table whose key rises in the order of commits, as SQLite has one writer at a time.
func (d sqlite) create(n sqltable.Names) []string {
	t := n.Table("")
	// An index is in the schema of its name; the table behind ON must not be qualified.
	on := " ON " + d.Quote(n.Base)
	name := func(suffix string) string {
		if n.Schema == "" {
			return n.Index(suffix)
		}
		return d.Quote(n.Schema) + "." + n.Index(suffix)
	}
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + " TEXT")
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + t + " (id INTEGER PRIMARY KEY, log_id TEXT NOT NULL, ts INTEGER NOT NULL" + cols.String() + ", attrs TEXT, body TEXT NOT NULL)",
		"CREATE UNIQUE INDEX IF NOT EXISTS " + name("_log_id") + on + " (log_id)",
		"CREATE INDEX IF NOT EXISTS " + name("_ts") + on + " (ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_object") + on + " (object_id, object_type, ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_user") + on + " (user_id, ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_batch") + on + " (batch_id, ts) WHERE batch_id IS NOT NULL",
	}
}

func (d sqlite) insert(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, ignore bool) (int64, error) {
	b := builder{d: d}
	insertInto(&b, n, rows)
	if ignore {
		b.WriteString(" ON CONFLICT (log_id) DO NOTHING")
	}
	return sqltable.Exec(ctx, conn, b.String(), b.args...)
}

// insertTx needs no savepoint for one statement: SQLite undoes a statement that fails, and the
// transaction goes on. But it undoes the whole transaction if the statement is interrupted, and what the
// application does next would be committed at once; so the end of ctx interrupts nothing.
func (d sqlite) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	return insertParts(ctx, conn, rows, cfg.Strict, func(conn gorm.ConnPool, part []row) error {
		_, err := d.insert(ctx, conn, n, part, false)
		return err
	})
}

func (d sqlite) deleteBatch(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, before int64, limit int) (int64, error) {
	largest, err := d.largest(ctx, conn, n)
	if err != nil {
		return 0, err
	}
	deleted, err := sqltable.Exec(ctx, conn, "DELETE FROM "+n.Table("")+" WHERE id IN (SELECT id FROM "+n.Table("")+" WHERE ts < ? ORDER BY ts LIMIT ?)", before, limit)
	if err != nil {
		return 0, err
	}
	return deleted, d.keepEra(ctx, conn, n, largest)
}
