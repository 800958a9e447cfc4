package sqlstore

import (
	"context"
	"errors"
	"strings"

	"gorm.io/gorm"
)

type mysql struct {
	translate func(error) error
}

func (mysql) placeholder(int) string { return "?" }

func (mysql) quote(ident string) string { return "`" + strings.ReplaceAll(ident, "`", "``") + "`" }

func (mysql) locate(text, placeholder string) string {
	return "LOCATE(" + placeholder + "," + text + ")"
}

func (mysql) current(ctx context.Context, conn gorm.ConnPool) (schema string, err error) {
	err = conn.QueryRowContext(ctx, "SELECT coalesce(database(), '')").Scan(&schema)
	return schema, err
}

func (mysql) exists(ctx context.Context, conn gorm.ConnPool, n names, suffix string) (bool, error) {
	var count int
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = coalesce(nullif(?, ''), database()) AND table_name = ?",
		n.schema, n.base+suffix).Scan(&count)
	return count > 0, err
}

// lock does nothing: each statement of create is one table with all that belongs to it, and commits by
// itself.
func (mysql) lock(context.Context, gorm.ConnPool, names) error { return nil }

// create makes columns of bytes: every collation for text that both MySQL and MariaDB know takes "a" and
// "a " for equal.
func (mysql) create(n names) []string {
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + " VARBINARY(256)")
	}
	const options = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.table("_meta") + " (name VARCHAR(64) PRIMARY KEY, value TEXT NOT NULL)" + options,
		"CREATE TABLE IF NOT EXISTS " + n.table("") + " (log_id VARBINARY(512) PRIMARY KEY, ts BIGINT NOT NULL" + cols.String() + ", attrs MEDIUMBLOB, body LONGTEXT NOT NULL, " +
			"KEY " + n.index("_ts") + " (ts), KEY " + n.index("_object") + " (object_id, object_type, ts), " +
			"KEY " + n.index("_user") + " (user_id, ts), KEY " + n.index("_batch") + " (batch_id, ts))" + options,
	}
}

func (d mysql) insert(ctx context.Context, conn gorm.ConnPool, n names, rows []row, ignore bool) (int64, error) {
	b := builder{d: d}
	insertInto(&b, n, rows)
	count, err := exec(ctx, conn, b.String(), b.args...)
	// Not INSERT IGNORE, which forgives other mistakes as well, and not ON DUPLICATE KEY UPDATE, whose
	// count depends on the connection's clientFoundRows.
	if ignore && err != nil && errors.Is(d.translate(err), gorm.ErrDuplicatedKey) {
		return 0, nil
	}
	return count, err
}

// insertTx needs no savepoint for one statement: InnoDB undoes a statement that fails, and the
// transaction goes on.
func (d mysql) insertTx(ctx context.Context, conn gorm.ConnPool, n names, rows []row, cfg Config) error {
	return insertParts(ctx, conn, rows, cfg.Strict, func(conn gorm.ConnPool, part []row) error {
		_, err := d.insert(ctx, conn, n, part, false)
		return err
	})
}

func (mysql) deleteBatch(ctx context.Context, conn gorm.ConnPool, n names, before int64, limit int) (int64, error) {
	return exec(ctx, conn, "DELETE FROM "+n.table("")+" WHERE ts < ? ORDER BY ts LIMIT ?", before, limit)
}
