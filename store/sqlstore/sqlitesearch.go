package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/store"
)

// sqliteSearch is one search in a state of the database in which the records up to the id done are in
// the text index.
type sqliteSearch struct {
	s    *Store
	conn gorm.ConnPool
	q    store.Query
	m    match
	done int64
}

// place is where a match is: enough to put it in order.
type place struct {
	k, id, millis int64 // k is the rowid in the index
	logID         string
}

func (p place) group() int64 { return p.k >> orderBits }

func (p place) position() store.Position { return stored{millis: p.millis, logID: p.logID}.position() }

// groupOf gives the first and the last rowid of a millisecond.
func groupOf(group int64) (first, last int64) {
	return group << orderBits, group<<orderBits | (1<<orderBits - 1)
}

func (x *sqliteSearch) run(ctx context.Context) (store.Page, error) {
	q := x.q
	tail, err := x.tail(ctx)
	if err != nil {
		return store.Page{}, err
	}
	lo, hi := int64(-1<<63), int64(1<<63-1)
	if !q.From.IsZero() {
		lo, _ = groupOf(orderMillis(q.From.UnixMilli()))
	}
	if !q.To.IsZero() {
		_, hi = groupOf(orderMillis(q.To.UnixMilli()))
	}
	need := q.Offset + q.Size + 1
	found, err := x.first(ctx, lo, hi, need)
	if err != nil {
		return store.Page{}, err
	}
	total, all := int64(len(found)+len(tail)), q.After == nil && len(found) < need
	for _, p := range tail {
		if follows(p.position(), q) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b place) int {
		if q.Ascending {
			return a.position().Compare(b.position())
		}
		return b.position().Compare(a.position())
	})
	rows, err := x.load(ctx, found[min(q.Offset, len(found)):min(need, len(found))])
	if err != nil {
		return store.Page{}, err
	}
	page, err := newPage(q, rows)
	if err != nil || q.TotalLimit < 0 {
		return page, err
	}
	if !all {
		b := builder{d: x.s.d}
		b.WriteString("SELECT count(*) FROM (SELECT 1")
		x.from(&b, lo, hi)
		b.write(" LIMIT ", strconv.Itoa(q.TotalLimit+1), ")")
		if err := x.conn.QueryRowContext(ctx, b.String(), b.args...).Scan(&total); err != nil {
			return store.Page{}, err
		}
		total += int64(len(tail))
	}
	page.Total, page.TotalExact = capTotal(total, q.TotalLimit)
	return page, nil
}

// first gives at least the first need matches of the index after the query's position, if there are so
// many, within a range of rowids. Matches of a millisecond come together.
func (x *sqliteSearch) first(ctx context.Context, lo, hi int64, need int) (found []place, err error) {
	if x.q.After != nil {
		// Of the position's own millisecond what follows it, and then the others.
		first, last := groupOf(orderMillis(x.q.After.Timestamp.UnixMilli()))
		same, err := x.places(ctx, max(first, lo), min(last, hi), -1)
		if err != nil {
			return nil, err
		}
		for _, p := range same {
			if follows(p.position(), x.q) {
				found = append(found, p)
			}
		}
		if x.q.Ascending {
			lo = max(lo, last+1)
		} else {
			hi = min(hi, first-1)
		}
	}
	rest := need - len(found)
	if rest <= 0 {
		return found, nil
	}
	more, err := x.places(ctx, lo, hi, rest)
	if err != nil {
		return nil, err
	}
	if len(more) == rest { // the last millisecond may have been cut
		group := more[rest-1].group()
		more = slices.DeleteFunc(more, func(p place) bool { return p.group() == group })
		first, last := groupOf(group)
		whole, err := x.places(ctx, max(lo, first), min(hi, last), -1)
		if err != nil {
			return nil, err
		}
		more = append(more, whole...)
	}
	return append(found, more...), nil
}

// from writes FROM and WHERE for the matches in a range of rowids.
func (x *sqliteSearch) from(b *builder, lo, hi int64) {
	n := x.s.names
	// CROSS JOIN keeps the order of the tables: matches first.
	b.write(" FROM ", n.Table("_text"), " AS f CROSS JOIN ", n.Table("_order"), " AS o ON o.k = f.rowid CROSS JOIN ", n.Table(""), " AS r ON r.id = o.id")
	x.s.where(b, x.q.Filters, x.q.From, x.q.To)
	b.write(" AND f.", x.s.d.Quote(n.Base+"_text"), " MATCH ", b.arg(x.expression()))
	b.write(" AND f.rowid >= ", b.arg(lo), " AND f.rowid <= ", b.arg(hi))
}

// places gives matches in a range of rowids, in the direction of the query; a negative limit is none.
func (x *sqliteSearch) places(ctx context.Context, lo, hi int64, limit int) (found []place, err error) {
	if lo > hi {
		return nil, nil
	}
	b := builder{d: x.s.d}
	b.WriteString("SELECT f.rowid, r.id, r.ts, r.log_id")
	x.from(&b, lo, hi)
	b.WriteString(" ORDER BY f.rowid")
	if !x.q.Ascending {
		b.WriteString(" DESC")
	}
	b.write(" LIMIT ", strconv.Itoa(limit))
	rows, err := x.conn.QueryContext(ctx, b.String(), b.args...)
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

// tail gives the matches among the records that are not indexed, in any order.
func (x *sqliteSearch) tail(ctx context.Context) (found []place, err error) {
	rest := restOf(x.q)
	b := builder{d: x.s.d}
	b.write("SELECT id, ts, log_id, body FROM ", x.s.names.Table(""))
	x.s.where(&b, x.q.Filters, x.q.From, x.q.To)
	b.write(" AND id > ", b.arg(x.done))
	rows, err := x.conn.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r stored
		var p place
		if err := rows.Scan(&p.id, &p.millis, &p.logID, &r.body); err != nil {
			return nil, err
		}
		r.millis, r.logID = p.millis, p.logID
		if needsBody(x.q) {
			record, err := decode(r)
			if err != nil {
				return nil, err
			}
			if !rest(record) {
				continue
			}
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

// load reads the records at the places, in their order.
func (x *sqliteSearch) load(ctx context.Context, places []place) ([]stored, error) {
	if len(places) == 0 {
		return nil, nil
	}
	b := builder{d: x.s.d}
	b.write("SELECT ts, log_id, body FROM ", x.s.names.Table(""), " WHERE id IN (")
	at := make(map[string]int, len(places))
	for i, p := range places {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(strconv.FormatInt(p.id, 10))
		at[p.logID] = i
	}
	b.WriteString(")")
	rows, err := x.s.read(ctx, x.conn, &b)
	slices.SortFunc(rows, func(a, b stored) int { return at[a.logID] - at[b.logID] })
	return rows, err
}

// expression gives the match in the language of FTS5. Words have letters and digits only, so nothing in
// them is taken for syntax.
func (x *sqliteSearch) expression() string {
	var parts []string
	for _, t := range x.m.terms {
		part := `words : "` + strings.Join(t.Words, " ") + `"`
		if t.Prefix {
			part += " *"
		}
		parts = append(parts, part)
	}
	for _, keys := range x.m.keys {
		parts = append(parts, `keys : ("`+strings.Join(keys, `" OR "`)+`")`)
	}
	return strings.Join(parts, " AND ")
}
