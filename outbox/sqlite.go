package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type sqlite struct{ sqltable.SQLite }

func (sqlite) create(n sqltable.Names) []string {
	const columns = " created INTEGER NOT NULL, records INTEGER NOT NULL, body TEXT NOT NULL)"
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Table("") + " (id INTEGER PRIMARY KEY AUTOINCREMENT," + columns,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_queue") + " (last INTEGER PRIMARY KEY," + columns,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_state") + " (id INTEGER PRIMARY KEY, producer TEXT NOT NULL, epoch TEXT NOT NULL, last INTEGER NOT NULL, acknowledged INTEGER NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Table("_quarantine") + " (seq INTEGER PRIMARY KEY, created INTEGER NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL)",
	}
}

func (sqlite) fill(n sqltable.Names, producer string) []string {
	return []string{"INSERT OR IGNORE INTO " + n.Table("_state") + " (id, producer, epoch, last, acknowledged) VALUES (1, '" + producer + "', '', 0, 0)"}
}

// insertTx needs no savepoint for one statement: SQLite undoes a statement that fails, and the
// transaction goes on. But it undoes the whole transaction if the statement is interrupted, and what the
// application does next would be committed at once; so the end of ctx interrupts nothing. It does so too on a
// full disk, unless the statement may write several rows, as INSERT with the VALUES of one row may not; so
// one row is selected.
func (sqlite) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if len(rows) == 1 {
		_, err := conn.ExecContext(ctx, "INSERT INTO "+n.Table("")+" (created,records,body) SELECT ?,?,?", rows[0].created, rows[0].records, rows[0].body)
		return err
	}
	return insertParts(ctx, conn, n, rows, cfg.Strict, "INSERT")
}

func (sqlite) claiming() *sql.TxOptions { return nil }

// lockState writes first: a transaction that has read cannot become a writer while others wait.
func (sqlite) lockState(ctx context.Context, conn gorm.ConnPool, n sqltable.Names) (last uint64, err error) {
	if _, err := conn.ExecContext(ctx, "UPDATE "+n.Table("_state")+" SET last = last WHERE id = 1"); err != nil {
		return 0, err
	}
	err = conn.QueryRowContext(ctx, "SELECT last FROM "+n.Table("_state")+" WHERE id = 1").Scan(&last)
	return last, err
}

func (sqlite) remove(table, ids string) string {
	return "DELETE FROM " + table + " WHERE id IN (" + ids + ")"
}

func (sqlite) removeSent(ctx context.Context, conn gorm.ConnPool, table string, upTo uint64, before int64, limit int) (int64, error) {
	return sqltable.Exec(ctx, conn, "DELETE FROM "+table+" WHERE last IN (SELECT last FROM "+table+" WHERE last <= ? AND created <= ? ORDER BY last LIMIT ?)", upTo, before, limit)
}

func (sqlite) bytes(column string) string { return "length(CAST(" + column + " AS BLOB))" }

func (sqlite) epoch(context.Context, gorm.ConnPool) string { return "" }

func (sqlite) oldestTransaction(context.Context, gorm.ConnPool) (time.Duration, bool) {
	return 0, false
}

// lock is a file beside the database. A database in memory is one process's own, and has none.
func (sqlite) lock(ctx context.Context, db *sql.DB, n sqltable.Names) (lock, error) {
	schema := n.Schema
	if schema == "" {
		schema = "main"
	}
	var path sql.NullString
	if err := db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = ?", schema).Scan(&path); err != nil {
		return nil, fmt.Errorf("outbox: file of the database: %w", err)
	}
	if path.String == "" {
		return &fileLock{db: db}, nil
	}
	return &fileLock{db: db, path: path.String + "-" + n.Base + ".lock"}, nil
}
