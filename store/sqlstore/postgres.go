package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"gorm.io/gorm"
)

type postgres struct{}

func (postgres) placeholder(n int) string { return "$" + strconv.Itoa(n) }

func (postgres) quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

func (postgres) locate(text, placeholder string) string {
	return "strpos(" + text + "," + placeholder + ")"
}

func (postgres) current(ctx context.Context, conn gorm.ConnPool) (schema string, err error) {
	err = conn.QueryRowContext(ctx, "SELECT coalesce(current_schema(), '')").Scan(&schema)
	return schema, err
}

func (postgres) exists(ctx context.Context, conn gorm.ConnPool, n names, suffix string) (found bool, err error) {
	err = conn.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", n.table(suffix)).Scan(&found)
	return found, err
}

func (postgres) lock(ctx context.Context, conn gorm.ConnPool, n names) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", n.table(""))
	return err
}

// create makes a table with xid, the transaction that wrote the row: with it a reader that goes by
// arrival never skips a row that was committed late, as it would with a serial number.
func (postgres) create(n names) []string {
	t := n.table("")
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + ` text COLLATE "C"`)
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.table("_meta") + " (name text PRIMARY KEY, value text NOT NULL)",
		"CREATE TABLE IF NOT EXISTS " + t + ` (log_id text COLLATE "C" PRIMARY KEY, ts bigint NOT NULL, xid bigint NOT NULL DEFAULT txid_current()` + cols.String() + `, attrs text COLLATE "C", body text NOT NULL)`,
		"CREATE INDEX IF NOT EXISTS " + n.index("_ts") + " ON " + t + " (ts)",
		"CREATE INDEX IF NOT EXISTS " + n.index("_xid") + " ON " + t + " (xid)",
		"CREATE INDEX IF NOT EXISTS " + n.index("_object") + " ON " + t + " (object_id, object_type, ts)",
		"CREATE INDEX IF NOT EXISTS " + n.index("_user") + " ON " + t + " (user_id, ts)",
		"CREATE INDEX IF NOT EXISTS " + n.index("_batch") + " ON " + t + " (batch_id, ts) WHERE batch_id IS NOT NULL",
	}
}

func (d postgres) insert(ctx context.Context, conn gorm.ConnPool, n names, rows []row, ignore bool) (int64, error) {
	return exec(ctx, conn, d.insertText(n, rows, ignore))
}

// insertText gives the INSERT with its values in the text: an Exec without arguments goes to the server
// as one simple message, whatever driver it is, and several statements fit into it.
func (postgres) insertText(n names, rows []row, ignore bool) string {
	var b strings.Builder
	size := 256
	for _, r := range rows {
		size += len(r.body) + len(r.body)/4 + 512
	}
	b.Grow(size)
	used := usedColumns(rows)
	b.WriteString("INSERT INTO " + n.table("") + " ")
	columnList(&b, used)
	b.WriteString(" VALUES ")
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		writeLiteral(&b, r.logID)
		b.WriteByte(',')
		b.WriteString(strconv.FormatInt(r.millis, 10))
		for j, v := range r.values() {
			if v != "" {
				b.WriteByte(',')
				writeLiteral(&b, v)
			} else if used[j] {
				b.WriteString(",NULL")
			}
		}
		b.WriteByte(',')
		writeLiteral(&b, r.body)
		b.WriteByte(')')
	}
	if ignore {
		b.WriteString(" ON CONFLICT (log_id) DO NOTHING")
	}
	return b.String()
}

// insertTx sends savepoint, INSERT and release as one message. LOCK … NOWAIT takes the lock that the INSERT
// needs anyway, and costs nothing; only if the table is locked, the INSERT is sent again with a lock
// time-out, because setting and restoring one takes a quarter of the time that the INSERT does.
func (d postgres) insertTx(ctx context.Context, conn gorm.ConnPool, n names, rows []row, cfg Config) error {
	conn = unprepared(conn) // a prepared statement cannot be several ones
	switch {
	case cfg.Strict:
		return d.send(ctx, conn, n, rows, "", "")
	case cfg.LockTimeout < 0:
		return d.sendSafely(ctx, conn, n, rows, "", "")
	}
	err := d.sendSafely(ctx, conn, n, rows, "LOCK TABLE "+n.table("")+" IN ROW EXCLUSIVE MODE NOWAIT;", "")
	if !isLocked(err) {
		return err
	}
	limit := strconv.FormatInt(max(cfg.LockTimeout.Milliseconds(), 1), 10)
	return d.sendSafely(ctx, conn, n, rows,
		"SELECT set_config('audit.lock_timeout', current_setting('lock_timeout'), true), set_config('lock_timeout', '"+limit+"', true);",
		";SELECT set_config('lock_timeout', current_setting('audit.lock_timeout'), true)")
}

// sendSafely sends the rows within a savepoint, and undoes them if there is an error.
func (d postgres) sendSafely(ctx context.Context, conn gorm.ConnPool, n names, rows []row, before, after string) error {
	err := d.send(ctx, conn, n, rows, "SAVEPOINT "+savepoint+";"+before, after+";RELEASE SAVEPOINT "+savepoint)
	if err != nil {
		return errors.Join(err, rollbackTo(ctx, conn))
	}
	return nil
}

// send sends the rows in as many messages as it takes, with before in the first and after in the last.
func (d postgres) send(ctx context.Context, conn gorm.ConnPool, n names, rows []row, before, after string) error {
	parts := chunks(rows)
	for i, part := range parts {
		text := d.insertText(n, part, false)
		if i == 0 {
			text = before + text
		}
		if i == len(parts)-1 {
			text += after
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// isLocked reports whether err is lock_not_available. The errors of all drivers for PostgreSQL have the
// method.
func isLocked(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "55P03"
}

func (postgres) deleteBatch(ctx context.Context, conn gorm.ConnPool, n names, before int64, limit int) (int64, error) {
	return exec(ctx, conn, "DELETE FROM "+n.table("")+" WHERE log_id IN (SELECT log_id FROM "+n.table("")+" WHERE ts < $1 ORDER BY ts LIMIT $2)", before, limit)
}
