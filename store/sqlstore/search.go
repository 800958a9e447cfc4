package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Search implements store.Searcher.
func (s *Store) Search(ctx context.Context, q store.Query) (store.Page, error) {
	q = q.WithDefaults()
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	terms, never := q.Terms()
	var page store.Page
	var err error
	m, ok := newMatch(q, terms)
	switch {
	case never:
		page.TotalExact = q.TotalLimit >= 0
		return page, nil
	case ok:
		page, err = s.searchText(ctx, q, m)
	case needsBody(q):
		page, err = s.scanText(ctx, q)
	default:
		page, err = s.searchPlain(ctx, q)
	}
	if err != nil {
		return store.Page{}, unavailable("search", err)
	}
	return page, nil
}

// Get implements store.Searcher.
func (s *Store) Get(ctx context.Context, logID string, filters ...store.Filter) (event.Record, error) {
	q := store.Query{Filters: filters}.WithDefaults()
	if err := q.Validate(); err != nil {
		return event.Record{}, err
	}
	b := builder{d: s.d}
	b.write("SELECT ts, log_id, body FROM ", s.names.Table(""))
	s.where(&b, append([]store.Filter{{Field: store.FieldLogID, Values: []string{logID}}}, filters...), time.Time{}, time.Time{})
	found, err := s.read(ctx, s.pool, &b)
	if err != nil {
		return event.Record{}, unavailable("get", err)
	}
	if len(found) == 0 {
		return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, logID)
	}
	r, err := decode(found[0])
	if err == nil && !restOf(q)(r) {
		return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, logID)
	}
	return r, err
}

// searchPlain answers a query without Text.
func (s *Store) searchPlain(ctx context.Context, q store.Query) (store.Page, error) {
	return s.searchWhere(ctx, q, nil, func(*builder) {})
}

// searchWhere answers a query but for its Text; more writes conditions for that. total is the number of
// matches if it is known, or more than the limit.
func (s *Store) searchWhere(ctx context.Context, q store.Query, total *int64, more func(b *builder)) (store.Page, error) {
	b := builder{d: s.d}
	b.write("SELECT ts, log_id, body FROM ", s.names.Table(""))
	s.where(&b, q.Filters, q.From, q.To)
	more(&b)
	if q.After != nil {
		s.after(&b, *q.After, q.Ascending)
	}
	order(&b, q.Ascending)
	b.write(" LIMIT ", strconv.Itoa(q.Size+1))
	if q.Offset > 0 {
		b.write(" OFFSET ", strconv.Itoa(q.Offset))
	}
	found, err := s.read(ctx, s.pool, &b)
	if err != nil {
		return store.Page{}, err
	}
	page, err := newPage(q, found)
	if err != nil || q.TotalLimit < 0 {
		return page, err
	}
	if q.After == nil && !page.HasMore && (q.Offset == 0 || len(found) > 0) {
		page.Total, page.TotalExact = capTotal(int64(q.Offset+len(found)), q.TotalLimit)
		return page, nil
	}
	if total == nil {
		b = builder{d: s.d}
		b.write("SELECT count(*) FROM (SELECT 1 FROM ", s.names.Table(""))
		s.where(&b, q.Filters, q.From, q.To)
		more(&b)
		b.write(" LIMIT ", strconv.Itoa(q.TotalLimit+1), ") AS found")
		total = new(int64)
		if err := s.pool.QueryRowContext(ctx, b.String(), b.args...).Scan(total); err != nil {
			return store.Page{}, err
		}
	}
	page.Total, page.TotalExact = capTotal(*total, q.TotalLimit)
	return page, nil
}

func capTotal(total int64, limit int) (int64, bool) {
	if total > int64(limit) {
		return int64(limit), false
	}
	return total, true
}

// newPage makes the page of the records found, of which there is one more than wanted if more follow.
func newPage(q store.Query, found []stored) (store.Page, error) {
	var page store.Page
	if len(found) > q.Size {
		page.HasMore = true
		found = found[:q.Size]
	}
	for _, f := range found {
		r, err := decode(f)
		if err != nil {
			return store.Page{}, err
		}
		page.Records = append(page.Records, r)
	}
	return page, nil
}

// stored is what is read of a row.
type stored struct {
	millis int64
	logID  string
	body   []byte
}

func (r stored) position() store.Position {
	return store.Position{Timestamp: time.UnixMilli(r.millis), LogID: r.logID}
}

// decode gives the record of a row. A body that is none makes an answer incomplete, so it is an error.
func decode(r stored) (event.Record, error) {
	record, err := event.Decode(r.body)
	if err != nil {
		return event.Record{}, fmt.Errorf("%w: sqlstore: body of %q: %w", store.ErrUnavailable, r.logID, err)
	}
	return record, nil
}

// read runs a query for ts, log_id and body.
func (s *Store) read(ctx context.Context, conn gorm.ConnPool, b *builder) (found []stored, err error) {
	rows, err := conn.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r stored
		if err := rows.Scan(&r.millis, &r.logID, &r.body); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}
