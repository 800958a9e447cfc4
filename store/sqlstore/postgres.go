package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type postgres struct{ sqltable.Postgres }

func (postgres) locate(text, placeholder string) string {
	return "strpos(" + text + "," + placeholder + ")"
}

// create makes a table with xid, the transaction that wrote the row: with it a reader that goes by
// arrival never skips a row that was committed late, as it would with a serial number.
func (postgres) create(n sqltable.Names) []string {
	t := n.Table("")
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + ` text COLLATE "C"`)
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name text PRIMARY KEY, value text NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + t + ` (log_id text COLLATE "C" PRIMARY KEY, ts bigint NOT NULL, xid bigint NOT NULL DEFAULT txid_current()` + cols.String() + `, attrs text COLLATE "C", body text NOT NULL)`,
		"CREATE INDEX IF NOT EXISTS " + n.Index("_ts") + " ON " + t + " (ts)",
		"CREATE INDEX IF NOT EXISTS " + n.Index("_xid") + " ON " + t + " (xid)",
		"CREATE INDEX IF NOT EXISTS " + n.Index("_object") + " ON " + t + " (object_id, object_type, ts)",
		"CREATE INDEX IF NOT EXISTS " + n.Index("_user") + " ON " + t + " (user_id, ts)",
		"CREATE INDEX IF NOT EXISTS " + n.Index("_batch") + " ON " + t + " (batch_id, ts) WHERE batch_id IS NOT NULL",
	}
}

func (d postgres) insert(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, ignore bool) (int64, error) {
	return sqltable.Exec(ctx, conn, d.insertText(n, rows, ignore))
}

// insertText gives the INSERT with its values in the text: an Exec without arguments goes to the server
// as one simple message, whatever driver it is, and several statements fit into it.
func (postgres) insertText(n sqltable.Names, rows []row, ignore bool) string {
	var b strings.Builder
	size := 256
	for _, r := range rows {
		size += len(r.body) + len(r.body)/4 + 512
	}
	b.Grow(size)
	used := usedColumns(rows)
	b.WriteString("INSERT INTO " + n.Table("") + " ")
	columnList(&b, used)
	b.WriteString(" VALUES ")
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		sqltable.WriteLiteral(&b, r.logID)
		b.WriteByte(',')
		b.WriteString(strconv.FormatInt(r.millis, 10))
		for j, v := range r.values() {
			if v != "" {
				b.WriteByte(',')
				sqltable.WriteLiteral(&b, v)
			} else if used[j] {
				b.WriteString(",NULL")
			}
		}
		b.WriteByte(',')
		sqltable.WriteLiteral(&b, r.body)
		b.WriteByte(')')
	}
	if ignore {
		b.WriteString(" ON CONFLICT (log_id) DO NOTHING")
	}
	return b.String()
}

// insertTx sends savepoint, INSERT and release as one message.
func (d postgres) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	var texts []string
	for _, part := range chunks(rows) {
		texts = append(texts, d.insertText(n, part, false))
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

func (postgres) deleteBatch(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, before int64, limit int) (int64, error) {
	return sqltable.Exec(ctx, conn, "DELETE FROM "+n.Table("")+" WHERE log_id IN (SELECT log_id FROM "+n.Table("")+" WHERE ts < $1 ORDER BY ts LIMIT $2)", before, limit)
}
