package sqlstore

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
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

// indexRows is how many records one transaction indexes: the write lock is not held for long.
const indexRows = 200

func (x *sqliteText) create() []string {
	n := x.s.names
	return []string{
		"DROP TABLE IF EXISTS " + n.table("_text"),
		"DROP TABLE IF EXISTS " + n.table("_order"),
		// The words are split already. The tokenizer ascii takes every other letter as part of a word.
		"CREATE VIRTUAL TABLE " + n.table("_text") + " USING fts5(words, keys, content='', contentless_delete=1, tokenize='ascii')",
		"CREATE TABLE " + n.table("_order") + " (k INTEGER PRIMARY KEY, id INTEGER NOT NULL)",
		"DELETE FROM " + n.table("_meta") + " WHERE name IN ('text_id', 'text_log_id')",
	}
}

// catchUp indexes by rising id: SQLite has one writer at a time, so that no smaller id comes later.
func (x *sqliteText) catchUp(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	done, last, err := x.state(ctx, x.s.pool)
	if err != nil {
		return err
	}
	newest, newestLogID, err := x.newest(ctx, x.s.pool, 1<<63-1)
	if err != nil || newest == done && newestLogID == last {
		return err
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
	rows, err := conn.QueryContext(ctx, "SELECT id, log_id FROM "+x.s.names.table("")+" WHERE id <= ? ORDER BY id DESC LIMIT 1", limit)
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
	// SQLite gives an id again when the rows with the largest ones were deleted. Then start anew.
	if done > 0 {
		var there bool
		err := conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM "+n.table("")+" WHERE id = ? AND log_id = ?", done, last).Scan(&there)
		if err != nil {
			return 0, err
		}
		if !there {
			done = 0
			for _, s := range []string{"INSERT INTO " + n.table("_text") + "(" + n.quote(n.base+"_text") + ") VALUES ('delete-all')", "DELETE FROM " + n.table("_order")} {
				if _, err := conn.ExecContext(ctx, s); err != nil {
					return 0, err
				}
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
	err = errors.Join(x.s.setMeta(ctx, conn, "text_id", strconv.FormatInt(end.id, 10)), x.s.setMeta(ctx, conn, "text_log_id", end.logID))
	return len(batch), err
}

type numbered struct {
	id int64
	stored
}

func (x *sqliteText) next(ctx context.Context, conn gorm.ConnPool, done int64) (batch []numbered, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT id, ts, log_id, body FROM "+x.s.names.table("")+" WHERE id > ? ORDER BY id LIMIT ?", done, indexRows)
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
		n, err := exec(ctx, conn, "INSERT INTO "+x.s.names.table("_order")+" (k, id) VALUES (?, ?) ON CONFLICT DO NOTHING", k, r.id)
		if err != nil {
			return err
		}
		if n == 1 {
			_, err = conn.ExecContext(ctx, "INSERT INTO "+x.s.names.table("_text")+" (rowid, words, keys) VALUES (?, ?, ?)", k, store.SearchText(record), keysOf(record))
			return err
		}
	}
	return errors.New("a millisecond has more records than the text index can number")
}

// expression gives m in the language of FTS5. Words have letters and digits only, so nothing in them is
// taken for syntax.
func (x *sqliteText) expression(m match) string {
	var b strings.Builder
	and := func() {
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
	}
	for _, t := range m.terms {
		and()
		b.WriteString(`words : "` + strings.Join(t.Words, " ") + `"`)
		if t.Prefix {
			b.WriteString(" *")
		}
	}
	for _, keys := range m.keys {
		and()
		b.WriteString(`keys : ("` + strings.Join(keys, `" OR "`) + `")`)
	}
	return b.String()
}

// place is where a match is: enough to put it in order.
type place struct {
	k, id, millis int64
	logID         string
}

func (p place) group() int64 { return p.k >> orderBits }

func (p place) position() store.Position { return stored{millis: p.millis, logID: p.logID}.position() }

// search reads matches in the order of their rowids, and puts those of one millisecond in order.
func (x *sqliteText) search(ctx context.Context, q store.Query, m match) (store.Page, error) {
	lo, hi := int64(-1<<63), int64(1<<63-1)
	if !q.From.IsZero() {
		lo = orderMillis(q.From.UnixMilli()) << orderBits
	}
	if !q.To.IsZero() {
		hi = orderMillis(q.To.UnixMilli())<<orderBits | (1<<orderBits - 1)
	}
	need := q.Offset + q.Size + 1
	var found []place
	from, to := lo, hi
	if q.After != nil {
		// All of the position's own millisecond, and then what follows it.
		group := orderMillis(q.After.Timestamp.UnixMilli())
		first, last := group<<orderBits, group<<orderBits|(1<<orderBits-1)
		same, err := x.places(ctx, q, m, max(first, lo), min(last, hi), -1)
		if err != nil {
			return store.Page{}, err
		}
		for _, p := range same {
			if follows(p.position(), q) {
				found = append(found, p)
			}
		}
		if q.Ascending {
			from = max(lo, last+1)
		} else {
			to = min(hi, first-1)
		}
	}
	if rest := need - len(found); rest > 0 && from <= to {
		more, err := x.places(ctx, q, m, from, to, rest)
		if err != nil {
			return store.Page{}, err
		}
		if len(more) == rest { // the last millisecond may have been cut
			group := more[rest-1].group()
			more = slices.DeleteFunc(more, func(p place) bool { return p.group() == group })
			all, err := x.places(ctx, q, m, max(from, group<<orderBits), min(to, group<<orderBits|(1<<orderBits-1)), -1)
			if err != nil {
				return store.Page{}, err
			}
			more = append(more, all...)
		}
		found = append(found, more...)
	}
	slices.SortFunc(found, func(a, b place) int {
		if c := a.position().Compare(b.position()); q.Ascending {
			return c
		} else {
			return -c
		}
	})
	rows, err := x.load(ctx, found[min(q.Offset, len(found)):min(need, len(found))])
	if err != nil {
		return store.Page{}, err
	}
	page, err := newPage(q, rows)
	if err != nil || q.TotalLimit < 0 {
		return page, err
	}
	total := int64(len(found))
	if q.After != nil || len(found) >= need {
		b := builder{d: x.s.d}
		b.WriteString("SELECT count(*) FROM (SELECT 1")
		x.from(&b, q, m, lo, hi)
		b.write(" LIMIT ", strconv.Itoa(q.TotalLimit+1), ")")
		if err := x.s.pool.QueryRowContext(ctx, b.String(), b.args...).Scan(&total); err != nil {
			return store.Page{}, err
		}
	}
	page.Total, page.TotalExact = capTotal(total, q.TotalLimit)
	return page, nil
}

// from writes FROM and WHERE for the matches in a range of rowids.
func (x *sqliteText) from(b *builder, q store.Query, m match, lo, hi int64) {
	n := x.s.names
	// CROSS JOIN keeps the order of the tables: matches first.
	b.write(" FROM ", n.table("_text"), " AS f CROSS JOIN ", n.table("_order"), " AS o ON o.k = f.rowid CROSS JOIN ", n.table(""), " AS r ON r.id = o.id")
	x.s.where(b, q.Filters, q.From, q.To)
	b.write(" AND f.", n.quote(n.base+"_text"), " MATCH ", b.arg(x.expression(m)))
	b.write(" AND f.rowid >= ", b.arg(lo), " AND f.rowid <= ", b.arg(hi))
}

// places gives matches in a range of rowids, in the direction of the query; a negative limit is none.
func (x *sqliteText) places(ctx context.Context, q store.Query, m match, lo, hi int64, limit int) (found []place, err error) {
	if lo > hi {
		return nil, nil
	}
	b := builder{d: x.s.d}
	b.WriteString("SELECT f.rowid, r.id, r.ts, r.log_id")
	x.from(&b, q, m, lo, hi)
	b.WriteString(" ORDER BY f.rowid")
	if !q.Ascending {
		b.WriteString(" DESC")
	}
	b.write(" LIMIT ", strconv.Itoa(limit))
	rows, err := x.s.pool.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.k, &p.id, &p.millis, &p.logID); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

// load reads the records at the places, in their order.
func (x *sqliteText) load(ctx context.Context, places []place) ([]stored, error) {
	if len(places) == 0 {
		return nil, nil
	}
	b := builder{d: x.s.d}
	b.write("SELECT ts, log_id, body FROM ", x.s.names.table(""), " WHERE id IN (")
	at := make(map[string]int, len(places))
	for i, p := range places {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(strconv.FormatInt(p.id, 10))
		at[p.logID] = i
	}
	b.WriteString(")")
	rows, err := x.s.read(ctx, &b)
	slices.SortFunc(rows, func(a, b stored) int { return at[a.logID] - at[b.logID] })
	return rows, err
}

func (x *sqliteText) purge(ctx context.Context, before int64) error {
	n := x.s.names
	limit := orderMillis(before) << orderBits
	for {
		var deleted int64
		err := x.s.inTx(ctx, func(conn gorm.ConnPool) error {
			some := " IN (SELECT k FROM " + n.table("_order") + " WHERE k < ? ORDER BY k LIMIT " + strconv.Itoa(purgeRows) + ")"
			_, err := conn.ExecContext(ctx, "DELETE FROM "+n.table("_text")+" WHERE rowid"+some, limit)
			if err != nil {
				return err
			}
			deleted, err = exec(ctx, conn, "DELETE FROM "+n.table("_order")+" WHERE k"+some, limit)
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
	return errors.Join(x.s.setMeta(ctx, conn, "text_id", strconv.FormatInt(last, 10)), x.s.setMeta(ctx, conn, "text_log_id", logID))
}
