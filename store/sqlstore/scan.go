package sqlstore

import (
	"context"
	"strconv"

	"github.com/gormtrail/audit/store"
)

// scanRows is how many rows one statement of a scan reads: few enough for memory, and no statement is
// open for long.
const scanRows = 500

// scanText answers a query with Text, or tokens, by reading all records that the rest of it lets through.
func (s *Store) scanText(ctx context.Context, q store.Query) (store.Page, error) {
	rest := restOf(q)
	var found []stored
	var total int64
	skip := q.Offset
	var last *store.Position
	if q.TotalLimit < 0 {
		last = q.After
	}
	for {
		b := builder{d: s.d}
		b.write("SELECT ts, log_id, body FROM ", s.names.Table(""))
		s.where(&b, q.Filters, q.From, q.To)
		if last != nil {
			s.after(&b, *last, q.Ascending)
		}
		order(&b, q.Ascending)
		b.write(" LIMIT ", strconv.Itoa(scanRows))
		rows, err := s.read(ctx, s.pool, &b)
		if err != nil {
			return store.Page{}, err
		}
		for _, r := range rows {
			record, err := decode(r)
			if err != nil {
				return store.Page{}, err
			}
			if !rest(record) {
				continue
			}
			total++
			if !follows(r.position(), q) || len(found) > q.Size {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			found = append(found, r)
		}
		if done := len(found) > q.Size && total > int64(q.TotalLimit); done || len(rows) < scanRows {
			break
		}
		p := rows[len(rows)-1].position()
		last = &p
	}
	page, err := newPage(q, found)
	if err == nil && q.TotalLimit >= 0 {
		page.Total, page.TotalExact = capTotal(total, q.TotalLimit)
	}
	return page, err
}

// follows reports whether p comes after q.After in the direction of q.
func follows(p store.Position, q store.Query) bool {
	if q.After == nil {
		return true
	}
	if q.Ascending {
		return p.Compare(*q.After) > 0
	}
	return p.Compare(*q.After) < 0
}
