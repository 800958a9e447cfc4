package outbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

type mysql struct {
	sqltable.MySQL
	mariadb bool
}

func (mysql) create(n sqltable.Names) []string {
	const options = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	const columns = " created BIGINT NOT NULL, records INT NOT NULL, body LONGTEXT NOT NULL)"
	return []string{
		"CREATE TABLE IF NOT EXISTS " + n.Table("_meta") + " (name VARCHAR(64) PRIMARY KEY, value TEXT NOT NULL)" + options,
		"CREATE TABLE IF NOT EXISTS " + n.Table("") + " (id BIGINT AUTO_INCREMENT PRIMARY KEY," + columns + options,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_queue") + " (last BIGINT PRIMARY KEY," + columns + options,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_state") + " (id INT PRIMARY KEY, producer VARCHAR(255) NOT NULL, epoch VARCHAR(255) NOT NULL, last BIGINT NOT NULL, acknowledged BIGINT NOT NULL)" + options,
		"CREATE TABLE IF NOT EXISTS " + n.Table("_quarantine") + " (seq BIGINT PRIMARY KEY, created BIGINT NOT NULL, reason TEXT NOT NULL, body LONGTEXT NOT NULL)" + options,
	}
}

func (mysql) fill(n sqltable.Names, producer string) []string {
	return []string{"INSERT IGNORE INTO " + n.Table("_state") + " (id, producer, epoch, last, acknowledged) VALUES (1, '" + producer + "', '', 0, 0)"}
}

// insertTx needs no savepoint for one statement: InnoDB undoes a statement that fails, and the transaction
// goes on. The time-out is one of the statement.
func (d mysql) insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error {
	verb := "INSERT"
	if cfg.LockTimeout >= 0 && !cfg.Strict {
		limit := seconds(cfg.LockTimeout)
		if verb = "INSERT /*+ SET_VAR(lock_wait_timeout=" + limit + ") */"; d.mariadb {
			verb = "SET STATEMENT lock_wait_timeout=" + limit + ",innodb_lock_wait_timeout=" + limit + " FOR INSERT"
		}
	}
	return insertParts(ctx, conn, n, rows, cfg.Strict, verb)
}

// claiming reads what is committed without locks: a locking read could pass over the row of a transaction
// that commits in that moment, and take the one of a transaction that waited for it.
func (mysql) claiming() *sql.TxOptions { return &sql.TxOptions{Isolation: sql.LevelReadCommitted} }

func (mysql) lockState(ctx context.Context, conn gorm.ConnPool, n sqltable.Names) (last uint64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT last FROM "+n.Table("_state")+" WHERE id = 1 FOR UPDATE").Scan(&last)
	return last, err
}

// remove looks each row up by its key. With a list of keys both servers may prefer to read the whole
// table, and then wait for rows of transactions that are open.
func (mysql) remove(table, ids string) string {
	first, rest, _ := strings.Cut(ids, ",")
	list := "SELECT " + first + " AS id"
	if rest != "" {
		list += " UNION ALL SELECT " + strings.ReplaceAll(rest, ",", " UNION ALL SELECT ")
	}
	return "DELETE o FROM (" + list + ") AS d STRAIGHT_JOIN " + table + " AS o FORCE INDEX (PRIMARY) ON o.id = d.id"
}

func (mysql) removeSent(ctx context.Context, conn gorm.ConnPool, table string, upTo uint64, before int64, limit int) (int64, error) {
	return sqltable.Exec(ctx, conn, "DELETE FROM "+table+" WHERE last <= ? AND created <= ? ORDER BY last LIMIT ?", upTo, before, limit)
}

func (mysql) bytes(column string) string { return "length(" + column + ")" }

func (mysql) epoch(context.Context, gorm.ConnPool) string { return "" }

// oldestTransaction needs the privilege PROCESS.
func (mysql) oldestTransaction(ctx context.Context, conn gorm.ConnPool) (time.Duration, bool) {
	var age sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT max(timestampdiff(MICROSECOND, trx_started, now(6))) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id()").Scan(&age)
	return max(0, time.Duration(age.Int64)*time.Microsecond), err == nil
}

// lock has a short name: MySQL takes 64 characters, for the whole server.
func (mysql) lock(_ context.Context, db *sql.DB, n sqltable.Names) (lock, error) {
	sum := sha256.Sum256([]byte(n.Table("")))
	return newConnLock(db, "SELECT GET_LOCK(?, 0) = 1", "SELECT RELEASE_LOCK(?) = 1", "audit outbox "+hex.EncodeToString(sum[:16]))
}
