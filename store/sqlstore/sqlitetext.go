package sqlstore

import (
	"context"
	"errors"
	"hash/fnv"
	"strconv"
	"sync"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/store"
)

// sqliteText is an FTS5 table without content. Its rowid has the time above and a number within the
// millisecond below, so that matches come in the order of time, and a page is read without looking at
// all matches. The table _order leads from there to the record.
type sqliteText struct {
	s *Store
	// mu lets one search of this process catch up; the others find it done.
	mu sync.Mutex
}

func newSQLiteText(s *Store) *sqliteText { return &sqliteText{s: s} }

// Bits of a rowid below the milliseconds, and the milliseconds that fit above (to the year 2248). What
// is beyond shares the last one.
const (
	orderBits = 20
	maxMillis = 1<<(63-orderBits) - 1
)

func orderMillis(millis int64) int64 { return min(max(millis, -maxMillis), maxMillis) }

// tailRows is how many of the newest records may be missing in the index: they are read instead. So most
// searches write nothing. That is not only quicker: in the write-ahead log, a transaction of the application
// that reads first and writes then fails if somebody else has written in between.
const (
	tailRows = 200
	maxTail  = 10 * tailRows
)

// indexRows is how many records one transaction indexes: the write lock is not held for long.
const indexRows = 200

func (x *sqliteText) create() []string {
	n := x.s.names
	return []string{
		"DROP TABLE IF EXISTS " + n.Table("_text"),
		"DROP TABLE IF EXISTS " + n.Table("_order"),
		// The words are split already. The tokenizer ascii takes every other letter as part of a word.
		"CREATE VIRTUAL TABLE " + n.Table("_text") + " USING fts5(words, keys, content='', contentless_delete=1, tokenize='ascii')",
		"CREATE TABLE " + n.Table("_order") + " (k INTEGER PRIMARY KEY, id INTEGER NOT NULL)",
		"DELETE FROM " + n.Table("_meta") + " WHERE name IN ('text_id', 'text_log_id')",
	}
}

// catchUp indexes by rising id: SQLite has one writer at a time, so that no smaller id comes later.
func (x *sqliteText) catchUp(ctx context.Context, all bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !all {
		behind, err := x.behind(ctx, x.s.pool)
		if err != nil || behind <= tailRows {
			return err
		}
	}
	for {
		var n int
		err := x.s.inTx(ctx, func(conn gorm.ConnPool) (err error) {
			n, err = x.indexSome(ctx, conn)
			return err
		})
		if err != nil || n < indexRows {
			return err
		}
	}
}

// behind gives how many records are not indexed, or a little more.
func (x *sqliteText) behind(ctx context.Context, conn gorm.ConnPool) (int64, error) {
	done, last, err := x.state(ctx, conn)
	if err != nil {
		return 0, err
	}
	newest, _, err := x.newest(ctx, conn, 1<<63-1)
	if err != nil {
		return 0, err
	}
	if there, err := x.isThere(ctx, conn, done, last); err != nil || !there {
		return maxTail + 1, err
	}
	return newest - done, nil
}

// isThere reports whether the last record that is indexed is still there. SQLite gives an id again when
// the rows with the largest ones were deleted; the index must then be made anew.
func (x *sqliteText) isThere(ctx context.Context, conn gorm.ConnPool, done int64, last string) (there bool, err error) {
	if done == 0 {
		return true, nil
	}
	err = conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM "+x.s.names.Table("")+" WHERE id = ? AND log_id = ?", done, last).Scan(&there)
	return there, err
}

// state gives the last record that is indexed.
func (x *sqliteText) state(ctx context.Context, conn gorm.ConnPool) (id int64, logID string, err error) {
	value, err := x.s.meta(ctx, conn, "text_id")
	if err != nil || value == "" {
		return 0, "", err
	}
	if id, err = strconv.ParseInt(value, 10, 64); err != nil {
		return 0, "", err
	}
	logID, err = x.s.meta(ctx, conn, "text_log_id")
	return id, logID, err
}

// newest gives the record with the largest id up to limit.
func (x *sqliteText) newest(ctx context.Context, conn gorm.ConnPool, limit int64) (id int64, logID string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT id, log_id FROM "+x.s.names.Table("")+" WHERE id <= ? ORDER BY id DESC LIMIT 1", limit)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		err = rows.Scan(&id, &logID)
	}
	return id, logID, errors.Join(err, rows.Err())
}

// indexSome indexes the next records and gives how many.
func (x *sqliteText) indexSome(ctx context.Context, conn gorm.ConnPool) (int, error) {
	n := x.s.names
	// Writing first takes the lock: a transaction that reads first cannot always write afterwards.
	if err := x.s.setMeta(ctx, conn, "text_busy", ""); err != nil {
		return 0, err
	}
	done, last, err := x.state(ctx, conn)
	if err != nil {
		return 0, err
	}
	there, err := x.isThere(ctx, conn, done, last)
	if err != nil {
		return 0, err
	}
	if !there {
		done = 0
		for _, s := range []string{"INSERT INTO " + n.Table("_text") + "(" + x.s.d.Quote(n.Base+"_text") + ") VALUES ('delete-all')", "DELETE FROM " + n.Table("_order")} {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return 0, err
			}
		}
	}
	batch, err := x.next(ctx, conn, done)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	for _, r := range batch {
		if err := x.add(ctx, conn, r); err != nil {
			return 0, err
		}
	}
	end := batch[len(batch)-1]
	err = x.setState(ctx, conn, end.id, end.logID)
	return len(batch), err
}

type numbered struct {
	id int64
	stored
}

func (x *sqliteText) next(ctx context.Context, conn gorm.ConnPool, done int64) (batch []numbered, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT id, ts, log_id, body FROM "+x.s.names.Table("")+" WHERE id > ? ORDER BY id LIMIT ?", done, indexRows)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r numbered
		if err := rows.Scan(&r.id, &r.millis, &r.logID, &r.body); err != nil {
			return nil, err
		}
		batch = append(batch, r)
	}
	return batch, rows.Err()
}

// add indexes one record.
func (x *sqliteText) add(ctx context.Context, conn gorm.ConnPool, r numbered) error {
	record, err := event.Decode(r.body)
	if err != nil {
		// Whoever reads it will be told. It must not keep all others from being found.
		record = event.Record{LogID: r.logID}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.logID)) // never fails
	base, number := orderMillis(r.millis)<<orderBits, int64(h.Sum32())
	const mask = 1<<orderBits - 1
	for i := range int64(mask) {
		k := base | (number+i)&mask
		n, err := sqltable.Exec(ctx, conn, "INSERT INTO "+x.s.names.Table("_order")+" (k, id) VALUES (?, ?) ON CONFLICT DO NOTHING", k, r.id)
		if err != nil {
			return err
		}
		if n == 1 {
			_, err = conn.ExecContext(ctx, "INSERT INTO "+x.s.names.Table("_text")+" (rowid, words, keys) VALUES (?, ?, ?)", k, store.SearchText(record), keysOf(record))
			return err
		}
	}
	return errors.New("a millisecond has more records than the text index can number")
}

// search answers the query from one state of the database: what is indexed by the index, and the few
// records after that by reading them.
func (x *sqliteText) search(ctx context.Context, q store.Query, m match) (page store.Page, err error) {
	err = x.inSnapshot(ctx, func(conn gorm.ConnPool) error {
		done, err := x.reached(ctx, conn)
		if err != nil {
			return err
		}
		page, err = (&sqliteSearch{s: x.s, conn: conn, q: q, m: m, done: done}).run(ctx)
		return err
	})
	return page, err
}

// reached gives the id up to which records are indexed, or errBehind.
func (x *sqliteText) reached(ctx context.Context, conn gorm.ConnPool) (int64, error) {
	behind, err := x.behind(ctx, conn)
	if err != nil {
		return 0, err
	}
	if behind > maxTail { // others write faster than this indexes, or have deleted records by hand
		return 0, errBehind
	}
	done, _, err := x.state(ctx, conn)
	return done, err
}

func (x *sqliteText) selected(ctx context.Context, q store.Query, m match, use func(sel selection) error) error {
	return x.inSnapshot(ctx, func(conn gorm.ConnPool) error {
		done, err := x.reached(ctx, conn)
		if err != nil {
			return err
		}
		search := &sqliteSearch{s: x.s, conn: conn, q: q, m: m, done: done}
		places, err := search.tail(ctx)
		if err != nil {
			return err
		}
		sel := selection{conn: conn, more: func(b *builder) {
			n := x.s.names
			b.write(" AND id IN (SELECT o.id FROM ", n.Table("_text"), " AS f CROSS JOIN ", n.Table("_order"), " AS o ON o.k = f.rowid WHERE f.",
				x.s.d.Quote(n.Base+"_text"), " MATCH ", b.arg(search.expression()), " AND o.id <= ", b.arg(done), ")")
		}}
		rows, err := search.load(ctx, places)
		if err != nil {
			return err
		}
		for _, row := range rows {
			r, err := decode(row)
			if err != nil {
				return err
			}
			sel.tail = append(sel.tail, r)
		}
		return use(sel)
	})
}

// inSnapshot runs f in a transaction that only reads.
func (x *sqliteText) inSnapshot(ctx context.Context, f func(conn gorm.ConnPool) error) error {
	return sqltable.InSnapshot(ctx, x.s.pool, f)
}

func (x *sqliteText) purge(ctx context.Context, before int64) error {
	n := x.s.names
	limit := orderMillis(before) << orderBits
	for {
		var deleted int64
		err := x.s.inTx(ctx, func(conn gorm.ConnPool) error {
			some := " IN (SELECT k FROM " + n.Table("_order") + " WHERE k < ? ORDER BY k LIMIT " + strconv.Itoa(purgeRows) + ")"
			_, err := conn.ExecContext(ctx, "DELETE FROM "+n.Table("_text")+" WHERE rowid"+some, limit)
			if err != nil {
				return err
			}
			deleted, err = sqltable.Exec(ctx, conn, "DELETE FROM "+n.Table("_order")+" WHERE k"+some, limit)
			return err
		})
		if err != nil || deleted < purgeRows {
			return err
		}
	}
}

// deleted moves the state to a record that is still there. No other one can have taken its id yet.
func (x *sqliteText) deleted(ctx context.Context, conn gorm.ConnPool) error {
	done, _, err := x.state(ctx, conn)
	if err != nil {
		return err
	}
	last, logID, err := x.newest(ctx, conn, done)
	if err != nil || last == done {
		return err
	}
	return x.setState(ctx, conn, last, logID)
}

// setState says which record is the last one that is indexed. After an error nothing more is written: SQLite
// may have rolled the transaction back, and what follows would be one of its own.
func (x *sqliteText) setState(ctx context.Context, conn gorm.ConnPool, id int64, logID string) error {
	if err := x.s.setMeta(ctx, conn, "text_id", strconv.FormatInt(id, 10)); err != nil {
		return err
	}
	return x.s.setMeta(ctx, conn, "text_log_id", logID)
}
