package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// dialect is what differs between the databases.
type dialect interface {
	sqltable.Dialect
	// create gives the statements that make the tables, fill those that put the first state in.
	create(n sqltable.Names) []string
	fill(n sqltable.Names, producer string) []string
	// insertTx adds rows within the application's transaction, which stays usable if there is an error.
	insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error
	// claiming gives the isolation of a claim: what it reads is what is committed now.
	claiming() *sql.TxOptions
	// lockState gives the last sequence. Nobody else claims until the transaction ends.
	lockState(ctx context.Context, conn gorm.ConnPool, n sqltable.Names) (uint64, error)
	// remove gives the statement that deletes rows by their ids, touching no others.
	remove(table, ids string) string
	// removeSent deletes at most limit of the first rows of the queue up to a sequence, that are older than
	// the time.
	removeSent(ctx context.Context, conn gorm.ConnPool, table string, upTo uint64, before int64, limit int) (int64, error)
	// bytes gives an expression for the size of a text.
	bytes(column string) string
	// epoch gives something that changes when the database may have lost what it had confirmed, "" if that
	// is not known.
	epoch(ctx context.Context, conn gorm.ConnPool) string
	// oldestTransaction gives how long the oldest transaction of the server has been open; false if that is
	// not known.
	oldestTransaction(ctx context.Context, conn gorm.ConnPool) (time.Duration, bool)
	// lock makes the lock that one queue of the table has.
	lock(ctx context.Context, db *sql.DB, n sqltable.Names) (lock, error)
}

func newDialect(ctx context.Context, db *gorm.DB) (dialect, error) {
	switch name := db.Dialector.Name(); name {
	case "sqlite":
		return sqlite{}, nil
	case "postgres":
		return postgres{}, nil
	case "mysql":
		var version string
		// The dialect's own flags are not set if it was told not to ask.
		if err := sqltable.PoolOf(db).QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
			return nil, fmt.Errorf("outbox: version of the database: %w", err)
		}
		return mysql{mariadb: strings.Contains(version, "MariaDB")}, nil
	default:
		return nil, fmt.Errorf("%w: %q, want sqlite, postgres or mysql", ErrDialect, name)
	}
}

// savepoint is the name of the savepoint around what the outbox does in a transaction that is not its own.
const savepoint = "audit_outbox_write"

// insertInto gives an INSERT, which begins with verb, with arguments.
func insertInto(verb string, n sqltable.Names, rows []row) (string, []any) {
	var b strings.Builder
	b.WriteString(verb + " INTO " + n.Table("") + " (created,records,body) VALUES ")
	args := make([]any, 0, 3*len(rows))
	for i, r := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(?,?,?)")
		args = append(args, r.created, r.records, r.body)
	}
	return b.String(), args
}

// insertParts inserts all rows or none, for databases that undo a statement that fails.
func insertParts(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, strict bool, verb string) error {
	if len(rows) > 1 {
		conn = sqltable.Unprepared(conn) // GORM's cache would keep a statement for each number of rows
	}
	parts := chunks(rows)
	insert := func() error {
		for _, part := range parts {
			text, args := insertInto(verb, n, part)
			if _, err := conn.ExecContext(ctx, text, args...); err != nil {
				return err
			}
		}
		return nil
	}
	if len(parts) == 1 || strict {
		return insert()
	}
	return sqltable.WithSavepoint(ctx, conn, savepoint, insert)
}

// seconds gives a time-out for statements that count in seconds.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}
