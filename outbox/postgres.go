package outbox

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type postgres struct{ sqltable.Postgres }

// create makes the table that applications write to with the primary key as its only index. Its rows live
// for a moment, so it is vacuumed early.
func (postgres) create(n sqltable.Names) []string {
	const columns = ` created bigint NOT NULL, records integer NOT NULL, body text COLLATE "C" NOT NULL)`
	const early = " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)"
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name text PRIMARY KEY, value text NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Table("") + " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY," + columns + early,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_queue") + " (last bigint PRIMARY KEY," + columns + early,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_state") + " (id integer PRIMARY KEY, producer text NOT NULL, epoch text NOT NULL, last bigint NOT NULL, acknowledged bigint NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + n.Table("_quarantine") + " (seq bigint PRIMARY KEY, created bigint NOT NULL, reason text NOT NULL, body text NOT NULL)",
	}
}

func (postgres) fill(n sqltable.Names, producer string) []string {
	return []string{"INSERT INTO " + n.Table("_state") + " (id, producer, epoch, last, acknowledged) VALUES (1, '" + producer + "', '', 0, 0) ON CONFLICT (id) DO NOTHING"}
}

// insertTx sends savepoint, INSERT and release as one message.
func (d postgres) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	var texts []string
	for _, part := range chunks(rows) {
		texts = append(texts, insertText(n, part))
	}
	if cfg.Notify {
		texts[len(texts)-1] += ";NOTIFY " + d.Quote(channel(n))
	}
	if !cfg.Strict {
		return sqltable.InsertSafely(ctx, conn, n.Table(""), savepoint, cfg.LockTimeout, texts)
	}
	conn = sqltable.Unprepared(conn)
	for _, text := range texts {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// insertText gives an INSERT with its values in the text.
func insertText(n sqltable.Names, rows []row) string {
	var b strings.Builder
	size := 256
	for _, r := range rows {
		size += len(r.body) + len(r.body)/8 + 64
	}
	b.Grow(size)
	b.WriteString("INSERT INTO " + n.Table("") + " (created,records,body) VALUES ")
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		b.WriteString(strconv.FormatInt(r.created, 10))
		b.WriteByte(',')
		b.WriteString(strconv.Itoa(r.records))
		b.WriteByte(',')
		sqltable.WriteLiteral(&b, r.body)
		b.WriteByte(')')
	}
	return b.String()
}

func (postgres) claiming() *sql.TxOptions { return &sql.TxOptions{Isolation: sql.LevelReadCommitted} }

// lockState also has the claim be on the disk before anything of it is published: if a crash took it back,
// its sequences would be given to other records, which the stream would drop.
func (postgres) lockState(ctx context.Context, conn gorm.ConnPool, n sqltable.Names) (last uint64, err error) {
	_, err = conn.ExecContext(ctx, "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)")
	if err != nil {
		return 0, err
	}
	err = conn.QueryRowContext(ctx, "SELECT last FROM "+n.Table("_state")+" WHERE id = 1 FOR UPDATE").Scan(&last)
	return last, err
}

func (postgres) remove(table, ids string) string {
	return "DELETE FROM " + table + " WHERE id IN (" + ids + ")"
}

func (postgres) removeSent(ctx context.Context, conn gorm.ConnPool, table string, upTo uint64, before int64, limit int) (int64, error) {
	return sqltable.Exec(ctx, conn, "DELETE FROM "+table+" WHERE last IN (SELECT last FROM "+table+" WHERE last <= $1 AND created <= $2 ORDER BY last LIMIT $3)", upTo, before, limit)
}

func (postgres) bytes(column string) string { return "octet_length(" + column + ")" }

// epoch is the server's timeline: it changes when a standby is promoted, or a backup restored to a point in
// time.
func (postgres) epoch(ctx context.Context, conn gorm.ConnPool) string {
	var name string
	if err := conn.QueryRowContext(ctx, "SELECT pg_walfile_name(pg_current_wal_lsn())").Scan(&name); err != nil || len(name) < 8 {
		return "" // managed servers may not allow it
	}
	return "timeline " + name[:8]
}

func (postgres) oldestTransaction(ctx context.Context, conn gorm.ConnPool) (time.Duration, bool) {
	var age sql.NullFloat64
	err := conn.QueryRowContext(ctx, "SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&age)
	return time.Duration(age.Float64 * float64(time.Second)), err == nil
}

func (postgres) lock(_ context.Context, db *sql.DB, n sqltable.Names) (lock, error) {
	name := "audit outbox " + n.Table("")
	return newConnLock(db, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", "SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)
}

// channel is the channel of NOTIFY.
func channel(n sqltable.Names) string { return n.Base }
