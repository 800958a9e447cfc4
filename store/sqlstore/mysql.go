package sqlstore

import (
	"context"
	"errors"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type mysql struct {
	sqltable.MySQL
	translate func(error) error
}

func (mysql) locate(text, placeholder string) string {
	return "LOCATE(" + placeholder + "," + text + ")"
}

// create makes columns of bytes: every collation for text that both MySQL and MariaDB know takes "a" and
// "a " for equal. arrived is a number that a reader gives the row after its commit; see feedmysql.go.
func (mysql) create(n sqltable.Names) []string {
	var cols strings.Builder
	for _, f := range columns {
		cols.WriteString(", " + string(f) + " VARBINARY(256)")
	}
	const options = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name VARCHAR(64) PRIMARY KEY, value TEXT NOT NULL)" + options,
		"CREATE TABLE IF NOT EXISTS " + n.Table("") + " (log_id VARBINARY(512) PRIMARY KEY, ts BIGINT NOT NULL, arrived BIGINT" + cols.String() + ", attrs MEDIUMBLOB, body LONGTEXT NOT NULL, " +
			"KEY " + n.Index("_ts") + " (ts), KEY " + n.Index("_arrived") + " (arrived), KEY " + n.Index("_object") + " (object_id, object_type, ts), " +
			"KEY " + n.Index("_user") + " (user_id, ts), KEY " + n.Index("_batch") + " (batch_id, ts))" + options,
	}
}

func (d mysql) insert(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, ignore bool) (int64, error) {
	b := builder{d: d}
	insertInto(&b, n, rows)
	count, err := sqltable.Exec(ctx, conn, b.String(), b.args...)
	// Not INSERT IGNORE, which forgives other mistakes as well, and not ON DUPLICATE KEY UPDATE, whose
	// count depends on the connection's clientFoundRows.
	if ignore && err != nil && errors.Is(d.translate(err), gorm.ErrDuplicatedKey) {
		return 0, nil
	}
	return count, err
}

// insertTx needs no savepoint for one statement: InnoDB undoes a statement that fails, and the
// transaction goes on.
func (d mysql) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	return insertParts(ctx, conn, rows, cfg.Strict, func(conn gorm.ConnPool, part []row) error {
		_, err := d.insert(ctx, conn, n, part, false)
		return err
	})
}

func (mysql) deleteBatch(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, before int64, limit int) (int64, error) {
	return sqltable.Exec(ctx, conn, "DELETE FROM "+n.Table("")+" WHERE ts < ? ORDER BY ts LIMIT ?", before, limit)
}
