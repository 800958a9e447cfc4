package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Histogram implements store.Histogrammer.
func (s *Store) Histogram(ctx context.Context, q store.Query, r store.HistogramRequest) (store.Histogram, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Histogram{}, err
	}
	q, never, err := plainQuery(q)
	if err != nil {
		return store.Histogram{}, err
	}
	if never {
		if q.From.IsZero() || q.To.IsZero() {
			return r.Buckets(q.From, q.From)
		}
		return r.Buckets(q.From, q.To)
	}
	var h store.Histogram
	err = s.selected(ctx, q, func(sel selection) (err error) {
		h, err = s.histogram(ctx, q, r, sel)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrQuery) {
		return store.Histogram{}, unavailable("histogram", err)
	}
	return h, err
}

// mark is one record of a histogram that was read.
type mark struct {
	at    time.Time
	value string
}

func (s *Store) histogram(ctx context.Context, q store.Query, r store.HistogramRequest, sel selection) (store.Histogram, error) {
	var marks []mark
	add := func(record event.Record) bool {
		m := mark{at: record.Timestamp}
		if values := r.By.Values(record); len(values) > 0 {
			m.value = filterKey(r.By, values[0])
		}
		marks = append(marks, m)
		return true
	}
	for _, record := range sel.tail {
		add(record)
	}
	if sel.more == nil {
		if err := s.each(ctx, q, sel, add); err != nil {
			return store.Histogram{}, err
		}
	}
	var err error
	if q.From.IsZero() || q.To.IsZero() {
		if q, err = s.bounded(ctx, q, sel, marks); err != nil {
			return store.Histogram{}, err
		}
	}
	h, err := r.Buckets(q.From, q.To)
	if err != nil || len(h.Buckets) == 0 {
		return h, err
	}
	by := make([]map[string]int64, len(h.Buckets))
	count := func(i int, value string, n int64) {
		h.Buckets[i].Count += n
		if r.By != "" && value != "" {
			if by[i] == nil {
				by[i] = map[string]int64{}
			}
			by[i][value] += n
		}
	}
	for _, m := range marks {
		if i := h.Bucket(m.at); i >= 0 {
			count(i, m.value, 1)
		}
	}
	if sel.more != nil {
		if err := s.buckets(ctx, q, r, sel, h, count); err != nil {
			return store.Histogram{}, err
		}
	}
	for i := range h.Buckets {
		h.Buckets[i].By = store.NewFacet(r.By, by[i], store.MaxBucketValues).Values
	}
	return h, nil
}

// bounded gives q with the times of the oldest and newest record where it has none. Without any record, both
// are the same.
func (s *Store) bounded(ctx context.Context, q store.Query, sel selection, marks []mark) (store.Query, error) {
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for _, m := range marks {
		oldest, newest = min(oldest, m.at.UnixMilli()), max(newest, m.at.UnixMilli())
	}
	if sel.more != nil {
		b := builder{d: s.d}
		b.WriteString("SELECT min(ts), max(ts)")
		s.from(&b, q, sel)
		var low, high sql.NullInt64
		if err := sel.conn.QueryRowContext(ctx, b.String(), b.args...).Scan(&low, &high); err != nil {
			return q, err
		}
		if low.Valid {
			oldest, newest = min(oldest, low.Int64), max(newest, high.Int64)
		}
	}
	switch {
	case oldest > newest:
		q.From, q.To = time.UnixMilli(0), time.UnixMilli(0)
		return q, nil
	case q.From.IsZero():
		q.From = time.UnixMilli(oldest)
	}
	if q.To.IsZero() {
		q.To = time.UnixMilli(newest + 1)
	}
	return q, nil
}

// buckets has the database count.
func (s *Store) buckets(ctx context.Context, q store.Query, r store.HistogramRequest, sel selection, h store.Histogram, count func(i int, value string, n int64)) (err error) {
	edges := make([]string, 0, len(h.Buckets)+1)
	for _, bucket := range h.Buckets {
		edges = append(edges, strconv.FormatInt(bucket.Start.UnixMilli(), 10))
	}
	edges = append(edges, strconv.FormatInt(h.Buckets[len(h.Buckets)-1].End.UnixMilli(), 10))
	value := "''"
	if r.By != "" {
		value = string(r.By)
	}
	b := builder{d: s.d}
	s.d.buckets(&b, edges, value, func() { s.from(&b, q, sel) })
	rows, err := sel.conn.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var i int
		var v sql.NullString
		var n int64
		if err := rows.Scan(&i, &v, &n); err != nil {
			return err
		}
		if i >= 1 && i <= len(h.Buckets) {
			count(i-1, v.String, n)
		}
	}
	return rows.Err()
}
