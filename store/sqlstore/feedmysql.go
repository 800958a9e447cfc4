package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/store"
)

// Records are numbered in the column arrived by whoever reads them: after their commit, by one transaction at a
// time. An AUTO_INCREMENT would be given before the commit, so that a reader could pass a number whose
// transaction is still open, and nothing in the database says which ones are.

// numberRows is how many records one transaction numbers, and numberRounds how many transactions there are in one
// call.
const (
	numberRows   = 500
	numberRounds = 20
)

const feedCounter = "arrived"

// counter gives the last number.
func (mysql) counter(ctx context.Context, s *Store) (int64, error) {
	value, err := s.meta(ctx, s.pool, feedCounter)
	if err != nil || value == "" {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

func (d mysql) place(ctx context.Context, s *Store, g stage) (stage, error) {
	last, err := d.counter(ctx, s)
	if err == nil && g.number > last {
		err = fmt.Errorf("%w: it is of record %d, and the last one is %d", store.ErrCheckpoint, g.number, last)
	}
	return g, err
}

func (d mysql) arrivals(ctx context.Context, s *Store, after stage, limit int) ([]arrival, error) {
	read := func() ([]arrival, error) {
		b := builder{d: d}
		b.write("SELECT 0, arrived, ts, log_id, body FROM ", s.names.Table(""), " WHERE arrived > ", b.arg(after.number), " ORDER BY arrived LIMIT ", strconv.Itoa(limit))
		return s.readArrivals(ctx, &b)
	}
	found, err := read()
	if err != nil || len(found) == limit {
		return found, err
	}
	n, err := d.numberAll(ctx, s)
	if err != nil || n == 0 {
		return found, err
	}
	return read()
}

func (d mysql) now(ctx context.Context, s *Store) (stage, error) {
	for {
		n, err := d.numberAll(ctx, s)
		if err != nil {
			return stage{}, err
		}
		if n < numberRows*numberRounds {
			break
		}
	}
	last, err := d.counter(ctx, s)
	return stage{number: last}, err
}

// numberAll numbers records that are committed, and gives how many.
func (d mysql) numberAll(ctx context.Context, s *Store) (total int, err error) {
	if _, err := s.pool.ExecContext(ctx, "INSERT IGNORE INTO "+s.names.Table("_meta")+" (name, value) VALUES (?, '0')", feedCounter); err != nil {
		return 0, err
	}
	for range numberRounds {
		n, err := d.numberSome(ctx, s)
		total += n
		if err != nil || n < numberRows {
			return total, err
		}
	}
	return total, nil
}

// numberSome is number in a transaction of its own, tried again if it was chosen as the victim of a deadlock.
func (d mysql) numberSome(ctx context.Context, s *Store) (n int, err error) {
	const tries = 5
	for range tries {
		err = sqltable.InTx(ctx, s.pool, d, savepoint, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, func(conn gorm.ConnPool) (err error) {
			n, err = d.number(ctx, conn, s)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "Error 1213") {
			return n, err
		}
	}
	return 0, err
}

func (d mysql) number(ctx context.Context, conn gorm.ConnPool, s *Store) (n int, err error) {
	var value string
	// One at a time, until the commit: whoever sees a number sees all lower ones.
	if err := conn.QueryRowContext(ctx, "SELECT value FROM "+s.names.Table("_meta")+" WHERE name = ? FOR UPDATE", feedCounter).Scan(&value); err != nil {
		return 0, err
	}
	last, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, err
	}
	ids, err := d.unnumbered(ctx, conn, s)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	b := builder{d: d}
	b.write("UPDATE ", s.names.Table(""), " SET arrived = CASE log_id")
	for i, id := range ids {
		b.write(" WHEN ", b.arg(id), " THEN ", strconv.FormatInt(last+int64(i)+1, 10))
	}
	b.WriteString(" END WHERE log_id IN (")
	b.list(ids)
	b.WriteString(")")
	if _, err := conn.ExecContext(ctx, b.String(), b.args...); err != nil {
		return 0, err
	}
	_, err = conn.ExecContext(ctx, "UPDATE "+s.names.Table("_meta")+" SET value = ? WHERE name = ?", strconv.FormatInt(last+int64(len(ids)), 10), feedCounter)
	return len(ids), err
}

func (mysql) unnumbered(ctx context.Context, conn gorm.ConnPool, s *Store) ([]string, error) {
	rows, err := conn.QueryContext(ctx, "SELECT log_id FROM "+s.names.Table("")+" WHERE arrived IS NULL ORDER BY ts, log_id LIMIT "+strconv.Itoa(numberRows))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
