package sqlstore

import (
	"context"
	"strconv"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// plainQuery gives what matters of a query that counts; never says that it finds nothing.
func plainQuery(q store.Query) (plain store.Query, never bool, err error) {
	plain = store.Query{Filters: q.Filters, From: q.From, To: q.To, Text: q.Text}.WithDefaults()
	if err := plain.Validate(); err != nil {
		return plain, false, err
	}
	terms, never := plain.Terms()
	if len(terms) == 0 {
		plain.Text = "" // white space
	}
	return plain, never, nil
}

// Count implements store.Counter.
func (s *Store) Count(ctx context.Context, q store.Query) (store.Total, error) {
	limit := q.WithDefaults().TotalLimit
	q, never, err := plainQuery(q)
	if err != nil || never {
		return store.Total{Exact: err == nil}, err
	}
	var count int64
	err = s.selected(ctx, q, func(sel selection) error {
		count = int64(len(sel.tail))
		if sel.more == nil {
			return s.each(ctx, q, sel, func(event.Record) bool {
				count++
				return limit < 0 || count <= int64(limit)
			})
		}
		b := builder{d: s.d}
		b.WriteString("SELECT count(*) FROM (SELECT 1")
		s.from(&b, q, sel)
		if limit >= 0 {
			b.write(" LIMIT ", strconv.Itoa(limit+1))
		}
		b.WriteString(") AS found")
		var found int64
		err := sel.conn.QueryRowContext(ctx, b.String(), b.args...).Scan(&found)
		count += found
		return err
	})
	if err != nil {
		return store.Total{}, unavailable("count", err)
	}
	if limit < 0 {
		return store.Total{Count: count, Exact: true}, nil
	}
	count, exact := capTotal(count, limit)
	return store.Total{Count: count, Exact: exact}, nil
}
