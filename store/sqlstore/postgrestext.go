package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/store"
)

// postgresText is a table with the words of each record under a GIN index. Words are found by the index,
// phrases among these by their text: a tsvector keeps only 255 places of a word, so that it would miss
// some.
type postgresText struct {
	s *Store
}

func newPostgresText(s *Store) *postgresText { return &postgresText{s: s} }

func (x *postgresText) create() []string {
	n := x.s.names
	return []string{
		"DROP TABLE IF EXISTS " + n.Table("_text"),
		"CREATE TABLE " + n.Table("_text") + ` (log_id text COLLATE "C" PRIMARY KEY, words text COLLATE "C" NOT NULL, lexemes tsvector NOT NULL)`,
		"CREATE INDEX " + n.Index("_text_gin") + " ON " + n.Table("_text") + " USING gin (lexemes)",
		"DELETE FROM " + n.Table("_meta") + " WHERE name = 'text_xid'",
	}
}

// pgIndexRows is how many records one transaction indexes.
const pgIndexRows = 500

// pgStateLag is for how many transactions the state is not written when there is nothing to index, so that
// most searches only read.
const pgStateLag = 1000

// catchUp indexes by rising transaction. All transactions below the oldest open one have ended, so their
// records are all there; those of later ones are looked at again next time. A serial number would not do:
// a transaction that took a small one may commit after a reader has passed it.
func (x *postgresText) catchUp(ctx context.Context, _ bool) error {
	for {
		var n int
		err := x.s.inTx(ctx, func(conn gorm.ConnPool) (err error) {
			n, err = x.indexSome(ctx, conn)
			return err
		})
		if err != nil || n < pgIndexRows {
			return err
		}
	}
}

// indexSome indexes the next records and gives how many.
func (x *postgresText) indexSome(ctx context.Context, conn gorm.ConnPool) (int, error) {
	from, open, next, err := x.state(ctx, conn)
	if err != nil {
		return 0, err
	}
	missing, err := x.missing(ctx, conn, from)
	if err != nil || len(missing) == 0 && open-from < pgStateLag {
		return 0, err
	}
	// From here on one at a time. What another one has indexed meanwhile is left out below.
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", x.s.names.Table("_text")); err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		if err := x.add(ctx, conn, missing); err != nil {
			return 0, err
		}
	}
	reached := open
	if len(missing) == pgIndexRows {
		reached = min(open, missing[len(missing)-1].xid)
	}
	// Never back, unless the numbers have started anew in another server.
	if now, err := x.s.meta(ctx, conn, "text_xid"); err != nil {
		return 0, err
	} else if v, _ := strconv.ParseInt(now, 10, 64); v >= reached && v <= next {
		return len(missing), nil
	}
	return len(missing), x.s.setMeta(ctx, conn, "text_xid", strconv.FormatInt(reached, 10))
}

// state gives the transaction from which on records may not be indexed, the oldest that is open, and the
// next one. It is read before the records are.
func (x *postgresText) state(ctx context.Context, conn gorm.ConnPool) (from, open, next int64, err error) {
	value, err := x.s.meta(ctx, conn, "text_xid")
	if err != nil {
		return 0, 0, 0, err
	}
	if value != "" {
		if from, err = strconv.ParseInt(value, 10, 64); err != nil {
			return 0, 0, 0, err
		}
	}
	err = conn.QueryRowContext(ctx, "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s) FROM txid_current_snapshot() AS s").Scan(&open, &next)
	if from > next {
		from = 0 // restored from a dump into another server, which counts from the start
	}
	return from, open, next, err
}

type transacted struct {
	xid int64
	stored
}

func (x *postgresText) missing(ctx context.Context, conn gorm.ConnPool, from int64) (found []transacted, err error) {
	n := x.s.names
	rows, err := conn.QueryContext(ctx, "SELECT xid, ts, log_id, body FROM "+n.Table("")+" AS r WHERE xid >= $1 AND NOT EXISTS (SELECT 1 FROM "+n.Table("_text")+
		" AS x WHERE x.log_id = r.log_id) ORDER BY xid LIMIT "+strconv.Itoa(pgIndexRows), from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r transacted
		if err := rows.Scan(&r.xid, &r.millis, &r.logID, &r.body); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

// add indexes the records.
func (x *postgresText) add(ctx context.Context, conn gorm.ConnPool, rows []transacted) error {
	var b strings.Builder
	b.WriteString("INSERT INTO " + x.s.names.Table("_text") + " (log_id, words, lexemes) VALUES ")
	for i, r := range rows {
		record, err := event.Decode(r.body)
		if err != nil {
			// Whoever reads it will be told. It must not keep all others from being found.
			record = event.Record{LogID: r.logID}
		}
		if i > 0 {
			b.WriteByte(',')
		}
		words := store.SearchText(record)
		b.WriteByte('(')
		sqltable.WriteLiteral(&b, r.logID)
		b.WriteByte(',')
		sqltable.WriteLiteral(&b, words)
		b.WriteString(",array_to_tsvector(string_to_array(")
		sqltable.WriteLiteral(&b, strings.TrimSpace(words+" "+keysOf(record)))
		b.WriteString(",' ')))")
	}
	b.WriteString(" ON CONFLICT (log_id) DO NOTHING")
	_, err := conn.ExecContext(ctx, b.String())
	return err
}

// search looks first how many records match. If they are few, they are read and put in order; if they are
// many, records are read in their order until enough have matched. Left to itself the database often takes
// the second way for few matches, because it cannot know how words go together, and then reads everything.
func (x *postgresText) search(ctx context.Context, q store.Query, m match) (store.Page, error) {
	n := x.s.names
	limit := max(q.TotalLimit, store.TotalLimit)
	b := builder{d: x.s.d}
	b.write("SELECT count(*) FROM (SELECT 1 FROM ", n.Table("_text"), " WHERE ")
	x.condition(&b, m)
	b.write(" LIMIT ", strconv.Itoa(limit+1), ") AS found")
	var count int64
	if err := x.s.pool.QueryRowContext(ctx, b.String(), b.args...).Scan(&count); err != nil {
		return store.Page{}, err
	}
	var total *int64
	if m.whole {
		total = &count
	}
	return x.s.searchWhere(ctx, q, total, func(b *builder) {
		if count <= int64(limit) {
			b.write(" AND log_id IN (SELECT log_id FROM ", n.Table("_text"), " WHERE ")
			x.condition(b, m)
			b.WriteString(" OFFSET 0)") // keeps the condition in its place
			return
		}
		b.WriteString(" AND (SELECT ")
		x.condition(b, m)
		b.write(" FROM ", n.Table("_text"), " AS x WHERE x.log_id = ", n.Table(""), ".log_id)")
	})
}

func (x *postgresText) selected(_ context.Context, _ store.Query, m match, use func(sel selection) error) error {
	return use(selection{conn: x.s.pool, more: func(b *builder) {
		b.write(" AND log_id IN (SELECT log_id FROM ", x.s.names.Table("_text"), " WHERE ")
		x.condition(b, m)
		b.WriteString(")")
	}})
}

// condition writes that the words and keys match.
func (x *postgresText) condition(b *builder, m match) {
	b.write("lexemes @@ ", b.arg(x.expression(m)), "::tsquery")
	for _, t := range m.terms {
		if len(t.Words) == 1 {
			continue
		}
		phrase := " " + strings.Join(t.Words, " ")
		if !t.Prefix {
			phrase += " "
		}
		b.write(" AND strpos(' ' || words || ' ', ", b.arg(phrase), ") > 0")
	}
}

// expression gives m in the language of tsquery. Words have letters and digits only, so nothing in them
// is taken for syntax.
func (x *postgresText) expression(m match) string {
	var parts []string
	for _, t := range m.terms {
		for i, w := range t.Words {
			w = "'" + w + "'"
			if t.Prefix && i == len(t.Words)-1 {
				w += ":*"
			}
			parts = append(parts, w)
		}
	}
	for _, keys := range m.keys {
		parts = append(parts, "('"+strings.Join(keys, "' | '")+"')")
	}
	return strings.Join(parts, " & ")
}

func (x *postgresText) purge(ctx context.Context, before int64) error {
	n := x.s.names
	for {
		deleted, err := sqltable.Exec(ctx, x.s.pool, "DELETE FROM "+n.Table("_text")+" WHERE log_id IN (SELECT x.log_id FROM "+n.Table("_text")+" AS x JOIN "+n.Table("")+
			" AS r ON r.log_id = x.log_id WHERE r.ts < $1 LIMIT "+strconv.Itoa(purgeRows)+")", before)
		if err != nil || deleted < purgeRows {
			return err
		}
	}
}

func (*postgresText) deleted(context.Context, gorm.ConnPool) error { return nil }
