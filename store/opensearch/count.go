package opensearch

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gormtrail/audit/store"
)

// counted gives what matters of a query that counts, and the indices to ask, "" if there are none.
func (s *Store) counted(ctx context.Context, q store.Query) (store.Query, string, error) {
	q = store.Query{Filters: q.Filters, From: q.From, To: q.To, Text: q.Text}.WithDefaults()
	if err := q.Validate(); err != nil {
		return q, "", err
	}
	target, err := s.target(ctx, q.From, q.To)
	return q, target, err
}

// aggregate runs a search that gives no records, and decodes its aggregations into v.
func (s *Store) aggregate(ctx context.Context, target string, query, aggs object, v any) error {
	answer, err := s.search(ctx, target, object{"query": query, "size": 0, "timeout": "10s", "track_total_hits": false, "aggs": aggs})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer.Aggregations, v); err != nil {
		return fmt.Errorf("%w: opensearch: aggregations: %w", store.ErrUnavailable, err)
	}
	return nil
}

// Count implements store.Counter.
func (s *Store) Count(ctx context.Context, q store.Query) (store.Total, error) {
	limit := q.WithDefaults().TotalLimit
	q, target, err := s.counted(ctx, q)
	if err != nil || target == "" {
		return store.Total{Exact: err == nil}, err
	}
	body := object{"query": queryOf(q), "size": 0, "timeout": "10s", "track_total_hits": true}
	if limit >= 0 {
		body["track_total_hits"] = limit + 1 // to tell "exactly so many" from "more"
	}
	answer, err := s.search(ctx, target, body)
	if err != nil {
		return store.Total{}, err
	}
	total := answer.Hits.Total
	if total == nil {
		return store.Total{}, fmt.Errorf("%w: opensearch: the answer has no total", store.ErrUnavailable)
	}
	if limit >= 0 && total.Value > int64(limit) {
		return store.Total{Count: int64(limit)}, nil
	}
	return store.Total{Count: total.Value, Exact: total.Relation == "eq"}, nil
}

const (
	// facetBuckets is how many values the server is asked for: more than are wanted, because it does not order
	// values with the same count as we do.
	facetBuckets = 1000
	// facetShard is how many values each index gives. With fewer different ones the counts are exact.
	facetShard = 10_000
)

// facetField has the values of the fields that are compared without case and accents, with doc values.
const facetField = "folded.facet"

// isFolded reports whether the values of a field are in "folded".
func isFolded(f store.Field) bool { return f.Folds() || f == store.FieldIPAddress }

// termsOf gives the aggregation of a field's values that begin with the prefix.
func termsOf(f store.Field, prefix string, size int) object {
	terms := object{"field": string(f), "size": size, "shard_size": max(size, facetShard)}
	prefix = f.Canonical(prefix)
	if isFolded(f) {
		terms["field"] = facetField
		prefix = string(f) + "=" + store.Fold(prefix)
		if !f.Folds() {
			prefix = string(f) + "=" + f.Canonical(strings.TrimPrefix(prefix, string(f)+"="))
		}
	}
	if prefix != "" {
		terms["include"] = escapeRegexp(prefix) + "(.|\n)*"
	}
	return object{"terms": terms}
}

// escapeRegexp gives a regular expression of the server for the text itself.
func escapeRegexp(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`.?+*|{}[]()"\#@&<>~^$-`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// without gives the query for documents without a value in the field.
func without(f store.Field) object {
	if isFolded(f) {
		var has []object
		for _, separator := range []string{"=", "#"} { // see foldedToken
			has = append(has, object{"prefix": object{"folded": object{"value": string(f) + separator}}})
		}
		return object{"bool": object{"must_not": has}}
	}
	return object{"bool": object{"must_not": []object{{"exists": object{"field": string(f)}}}}}
}

// termsAnswer is the answer to an aggregation of values.
type termsAnswer struct {
	Error   int64 `json:"doc_count_error_upper_bound"`
	Others  int64 `json:"sum_other_doc_count"`
	Buckets []struct {
		Key   string `json:"key"`
		Count int64  `json:"doc_count"`
	} `json:"buckets"`
}

// counts gives the number of documents by value.
func (a termsAnswer) counts(f store.Field) map[string]int64 {
	counts := make(map[string]int64, len(a.Buckets))
	for _, b := range a.Buckets {
		key := b.Key
		if isFolded(f) {
			key = strings.TrimPrefix(key, string(f)+"=")
		}
		if key != "" {
			counts[f.Canonical(key)] += b.Count
		}
	}
	return counts
}

type countAnswer struct {
	Count int64 `json:"doc_count"`
}

// Facets implements store.Faceter. The server counts all records, so that the limit does not matter. Counts
// are not exact with more than 10,000 different values in a month, and over records that were stored by a
// version of this package whose mapping did not have all values.
func (s *Store) Facets(ctx context.Context, q store.Query, r store.FacetRequest) ([]store.Facet, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return nil, err
	}
	q, target, err := s.counted(ctx, q)
	if err != nil {
		return nil, err
	}
	facets := make([]store.Facet, len(r.Fields))
	if target == "" {
		for i, f := range r.Fields {
			facets[i] = store.NewFacet(f, nil, r.Size)
			facets[i].Exact = true
		}
		return facets, nil
	}
	aggs := object{"old": object{"filter": object{"bool": object{"must_not": []object{{"exists": object{"field": facetField}}}}}}}
	for _, f := range r.Fields {
		aggs["values "+string(f)] = termsOf(f, r.Prefix, facetBuckets)
		aggs["without "+string(f)] = object{"filter": without(f)}
	}
	var answer map[string]json.RawMessage
	if err := s.aggregate(ctx, target, queryOf(q), aggs, &answer); err != nil {
		return nil, err
	}
	var old countAnswer
	if err := part(answer, "old", &old); err != nil {
		return nil, err
	}
	for i, f := range r.Fields {
		var values termsAnswer
		var none countAnswer
		if err := part(answer, "values "+string(f), &values); err != nil {
			return nil, err
		}
		if err := part(answer, "without "+string(f), &none); err != nil {
			return nil, err
		}
		facets[i] = store.NewFacet(f, values.counts(f), r.Size)
		facets[i].Others += values.Others
		facets[i].Without = none.Count
		facets[i].Exact = values.Error == 0 && (old.Count == 0 || !isFolded(f))
	}
	return facets, nil
}

// part decodes one aggregation of an answer.
func part(answer map[string]json.RawMessage, name string, v any) error {
	data, ok := answer[name]
	if !ok {
		return fmt.Errorf("%w: opensearch: the answer has no aggregation %q", store.ErrUnavailable, name)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: opensearch: aggregation %q: %w", store.ErrUnavailable, name, err)
	}
	return nil
}

// Histogram implements store.Histogrammer. The buckets are computed here: the server's own calendar is another
// one on days on which clocks change.
func (s *Store) Histogram(ctx context.Context, q store.Query, r store.HistogramRequest) (store.Histogram, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Histogram{}, err
	}
	q, target, err := s.counted(ctx, q)
	if err != nil {
		return store.Histogram{}, err
	}
	if target != "" && (q.From.IsZero() || q.To.IsZero()) {
		if q, err = s.bounded(ctx, target, q); err != nil {
			return store.Histogram{}, err
		}
	}
	if q.From.IsZero() || q.To.IsZero() {
		return r.Buckets(time.UnixMilli(0), time.UnixMilli(0))
	}
	h, err := r.Buckets(q.From, q.To)
	if err != nil || target == "" || len(h.Buckets) == 0 {
		return h, err
	}
	ranges := make([]object, len(h.Buckets))
	for i, b := range h.Buckets {
		ranges[i] = object{"from": b.Start.UnixMilli(), "to": b.End.UnixMilli()}
	}
	agg := object{"date_range": object{"field": "timestamp", "format": "epoch_millis", "ranges": ranges}}
	if r.By != "" {
		agg["aggs"] = object{"by": termsOf(r.By, "", facetBuckets)}
	}
	var answer struct {
		Time struct {
			Buckets []struct {
				From  float64     `json:"from"`
				Count int64       `json:"doc_count"`
				By    termsAnswer `json:"by"`
			} `json:"buckets"`
		} `json:"time"`
	}
	if err := s.aggregate(ctx, target, queryOf(q), object{"time": agg}, &answer); err != nil {
		return store.Histogram{}, err
	}
	if len(answer.Time.Buckets) != len(h.Buckets) {
		return store.Histogram{}, fmt.Errorf("%w: opensearch: %d buckets of %d", store.ErrUnavailable, len(answer.Time.Buckets), len(h.Buckets))
	}
	for _, b := range answer.Time.Buckets {
		i := h.Bucket(time.UnixMilli(int64(b.From)))
		if i < 0 {
			return store.Histogram{}, fmt.Errorf("%w: opensearch: a bucket from %f was not asked for", store.ErrUnavailable, b.From)
		}
		h.Buckets[i].Count = b.Count
		h.Buckets[i].By = store.NewFacet(r.By, b.By.counts(r.By), store.MaxBucketValues).Values
	}
	return h, nil
}

// bounded gives q with the times of the oldest and newest record where it has none; it stays so if there is no
// record.
func (s *Store) bounded(ctx context.Context, target string, q store.Query) (store.Query, error) {
	var answer struct{ Oldest, Newest struct{ Value *float64 } }
	aggs := object{"oldest": object{"min": object{"field": "timestamp"}}, "newest": object{"max": object{"field": "timestamp"}}}
	if err := s.aggregate(ctx, target, queryOf(q), aggs, &answer); err != nil {
		return q, err
	}
	if answer.Oldest.Value == nil || answer.Newest.Value == nil {
		return q, nil
	}
	if q.From.IsZero() {
		q.From = time.UnixMilli(int64(*answer.Oldest.Value))
	}
	if q.To.IsZero() {
		q.To = time.UnixMilli(int64(*answer.Newest.Value) + 1)
	}
	return q, nil
}
