package sqlstore

import (
	"context"
	"strings"

	"gorm.io/gorm"
)

type sqlite struct{}

func (sqlite) placeholder(int) string { return "?" }

func (sqlite) quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

func (sqlite) locate(text, placeholder string) string {
	return "instr(" + text + "," + placeholder + ")"
}

func (sqlite) current(context.Context, gorm.ConnPool) (string, error) { return "", nil }

func (d sqlite) exists(ctx context.Context, conn gorm.ConnPool, n names, suffix string) (found bool, err error) {
	master := "sqlite_master"
	if n.schema != "" {
		master = d.quote(n.schema) + ".sqlite_master"
	}
	err = conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM "+master+" WHERE type = 'table' AND name = ?", n.base+suffix).Scan(&found)
	return found, err
}

// lock does nothing: the first statement that writes takes the lock of the whole database.
func (sqlite) lock(context.Context, gorm.ConnPool, names) error { return nil }

// create makes a table whose key rises in the order of commits, as SQLite has one writer at a time.
func (d sqlite) create(n names) []string {
	t := n.table("")
	// An index is in the schema of its name; the table behind ON must not be qualified.
	on := " ON " + d.quote(n.base)
	name := func(suffix string) string {
		if n.schema == "" {
			return n.index(suffix)
		}
		return d.quote(n.schema) + "." + n.index(suffix)
	}
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + " TEXT")
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.table("_meta") + " (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + t + " (id INTEGER PRIMARY KEY, log_id TEXT NOT NULL, ts INTEGER NOT NULL" + cols.String() + ", attrs TEXT, body TEXT NOT NULL)",
		"CREATE UNIQUE INDEX IF NOT EXISTS " + name("_log_id") + on + " (log_id)",
		"CREATE INDEX IF NOT EXISTS " + name("_ts") + on + " (ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_object") + on + " (object_id, object_type, ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_user") + on + " (user_id, ts)",
		"CREATE INDEX IF NOT EXISTS " + name("_batch") + on + " (batch_id, ts) WHERE batch_id IS NOT NULL",
	}
}

func (d sqlite) insert(ctx context.Context, conn gorm.ConnPool, n names, rows []row, ignore bool) (int64, error) {
	b := builder{d: d}
	insertInto(&b, n, rows)
	if ignore {
		b.WriteString(" ON CONFLICT (log_id) DO NOTHING")
	}
	return exec(ctx, conn, b.String(), b.args...)
}

// insertTx needs no savepoint for one statement: SQLite undoes a statement that fails, and the
// transaction goes on.
func (d sqlite) insertTx(ctx context.Context, conn gorm.ConnPool, n names, rows []row, cfg Config) error {
	return insertParts(ctx, conn, rows, cfg.Strict, func(conn gorm.ConnPool, part []row) error {
		_, err := d.insert(ctx, conn, n, part, false)
		return err
	})
}

func (sqlite) deleteBatch(ctx context.Context, conn gorm.ConnPool, n names, before int64, limit int) (int64, error) {
	return exec(ctx, conn, "DELETE FROM "+n.table("")+" WHERE id IN (SELECT id FROM "+n.table("")+" WHERE ts < ? ORDER BY ts LIMIT ?)", before, limit)
}
