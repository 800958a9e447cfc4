package storetest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// all gives the records that match the filters, times and Text of q, oldest first.
func (m *Memory) all(q store.Query) ([]event.Record, error) {
	q = store.Query{Filters: q.Filters, From: q.From, To: q.To, Text: q.Text, Ascending: true}.WithDefaults()
	if err := q.Validate(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.found(q), nil
}

// Count counts records, see store.Counter.
func (m *Memory) Count(_ context.Context, q store.Query) (store.Total, error) {
	found, err := m.all(q)
	if err != nil {
		return store.Total{}, err
	}
	limit := q.WithDefaults().TotalLimit
	if limit >= 0 && len(found) > limit {
		return store.Total{Count: int64(limit)}, nil
	}
	return store.Total{Count: int64(len(found)), Exact: true}, nil
}

// Facets counts records by values, see store.Faceter. The counts are exact whatever the limit is.
func (m *Memory) Facets(_ context.Context, q store.Query, r store.FacetRequest) ([]store.Facet, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return nil, err
	}
	found, err := m.all(q)
	if err != nil {
		return nil, err
	}
	facets := make([]store.Facet, len(r.Fields))
	for i, field := range r.Fields {
		counts, without := map[string]int64{}, int64(0)
		for _, record := range found {
			var values []string
			for _, v := range valuesOf(record, field) {
				if v = compared(field, v); v != "" && !slices.Contains(values, v) {
					values = append(values, v)
				}
			}
			if len(values) == 0 {
				without++
			}
			for _, v := range values {
				if strings.HasPrefix(v, compared(field, r.Prefix)) {
					counts[v]++
				}
			}
		}
		facets[i] = store.NewFacet(field, counts, r.Size)
		facets[i].Without = without
	}
	return facets, nil
}

// Histogram counts records by time, see store.Histogrammer.
func (m *Memory) Histogram(_ context.Context, q store.Query, r store.HistogramRequest) (store.Histogram, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Histogram{}, err
	}
	found, err := m.all(q)
	if err != nil {
		return store.Histogram{}, err
	}
	from, to := q.From, q.To
	if from.IsZero() || to.IsZero() {
		if len(found) == 0 {
			return r.Buckets(from, from)
		}
		if from.IsZero() {
			from = found[0].Timestamp
		}
		if to.IsZero() {
			to = found[len(found)-1].Timestamp.Add(1)
		}
	}
	h, err := r.Buckets(from, to)
	if err != nil {
		return store.Histogram{}, err
	}
	for i := range h.Buckets {
		b, by := &h.Buckets[i], map[string]int64{}
		for _, record := range found {
			ms := record.Timestamp.UnixMilli()
			if ms < b.Start.UnixMilli() || ms >= b.End.UnixMilli() {
				continue
			}
			b.Count++
			for _, v := range valuesOf(record, r.By) {
				if v = compared(r.By, v); v != "" {
					by[v]++
				}
			}
		}
		b.By = store.NewFacet(r.By, by, store.MaxBucketValues).Values
	}
	return h, nil
}

// Changes gives records in the order in which they were written, see store.Feed.
func (m *Memory) Changes(ctx context.Context, r store.ChangesRequest) (store.Changes, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Changes{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	at := 0
	if r.After != "" {
		n, err := strconv.Atoi(r.After)
		if err != nil || n < 0 || n > len(m.records) {
			return store.Changes{}, fmt.Errorf("%w: %q", store.ErrCheckpoint, r.After)
		}
		at = n
	}
	var changes store.Changes
	for ; at < len(m.records) && len(changes.Records) < r.Size; at++ {
		if matches(m.records[at], r.Query) {
			changes.Records = append(changes.Records, m.records[at])
		}
	}
	changes.Next, changes.More = strconv.Itoa(at), at < len(m.records)
	return changes, ctx.Err()
}

// Now gives the checkpoint of now, see store.Feed.
func (m *Memory) Now(context.Context) (string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return strconv.Itoa(len(m.records)), nil
}

// compared gives a value as it is compared.
func compared(f store.Field, v string) string {
	switch {
	case f == store.FieldAction || f == store.FieldBatchAction:
		return strings.ToUpper(store.Fold(v))
	case f.Folds():
		return store.Fold(v)
	case f == store.FieldIPAddress:
		return shortAddress(v)
	}
	return v
}
