package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// maxNamed bounds how many indices are named in a search, for the server bounds the line.
const maxNamed = 60

// Search gives one page; see store.Searcher. It sees what was written at most a second ago; see
// Refresh.
func (s *Store) Search(ctx context.Context, q store.Query) (store.Page, error) {
	q = q.WithDefaults()
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	target, err := s.target(ctx, q.From, q.To)
	if err != nil {
		return store.Page{}, err
	}
	if target == "" {
		return store.Page{TotalExact: q.TotalLimit >= 0}, nil
	}
	answer, err := s.search(ctx, target, searchBody(q))
	if err != nil {
		return store.Page{}, err
	}
	return pageOf(q, answer)
}

// Get gives one record; see store.Searcher.
func (s *Store) Get(ctx context.Context, logID string, filter ...store.Filter) (event.Record, error) {
	if err := (store.Query{Filters: filter}).WithDefaults().Validate(); err != nil {
		return event.Record{}, err
	}
	missing := fmt.Errorf("%w: log_id %q", store.ErrNotFound, clip(logID, 64))
	if logID == "" || len(logID) > event.MaxIDLength {
		return event.Record{}, missing
	}
	target, err := s.target(ctx, time.Time{}, time.Time{})
	if err != nil {
		return event.Record{}, err
	}
	if target == "" {
		return event.Record{}, missing
	}
	must, mustNot := filters(filter)
	must = append(must, object{"ids": object{"values": []string{logID}}})
	answer, err := s.search(ctx, target, object{
		"query": object{"bool": object{"filter": must, "must_not": mustNot}},
		"size":  1, "timeout": "10s", "track_total_hits": false,
		// Should there be two, it is always the same one.
		"sort": []object{{"timestamp": object{"order": "asc"}}},
	})
	if err != nil {
		return event.Record{}, err
	}
	if len(answer.Hits.Hits) == 0 {
		return event.Record{}, missing
	}
	return recordOf(answer.Hits.Hits[0])
}

// target names the indices that can have records in the range, "" if there are none. A closed index
// among them is an error: its records would be missing from the answer.
func (s *Store) target(ctx context.Context, from, to time.Time) (string, error) {
	open, closed, err := s.list(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range closed {
		if holds, _ := s.names.holds(name, from, to); holds {
			return "", fmt.Errorf("%w: opensearch: index %q is closed", store.ErrUnavailable, name)
		}
	}
	var named []string
	for _, name := range open {
		if holds, _ := s.names.holds(name, from, to); holds {
			named = append(named, name)
		}
	}
	if len(named) > maxNamed {
		return s.names.alias(), nil
	}
	return strings.Join(named, ","), nil
}

// hit is one record in an answer.
type hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	SeqNo  int64           `json:"_seq_no"` // if it was asked for
	Source json.RawMessage `json:"_source"`
}

// searchAnswer is what is read of the answer to a search.
type searchAnswer struct {
	TimedOut bool `json:"timed_out"`
	Shards   *struct {
		Total      int `json:"total"`
		Successful int `json:"successful"`
		Failed     int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total *struct {
			Value    int64  `json:"value"`
			Relation string `json:"relation"`
		} `json:"total"`
		Hits []hit `json:"hits"`
	} `json:"hits"`
	Aggregations json.RawMessage `json:"aggregations"`
}

// search runs a search and refuses an answer that has not seen everything. The server gives such
// answers as a success: with a shard missing it even says that none has failed.
func (s *Store) search(ctx context.Context, target string, body object) (searchAnswer, error) {
	return s.searchOn(ctx, target, "", body)
}

// searchOn is search on certain copies of the shards.
func (s *Store) searchOn(ctx context.Context, target, preference string, body object) (searchAnswer, error) {
	r := request{
		method: http.MethodPost, path: "/" + target + "/_search", body: asJSON(body),
		query: url.Values{
			"allow_partial_search_results":  {"false"},
			"cancel_after_time_interval":    {"15s"},
			"max_concurrent_shard_requests": {"5"},
		},
	}
	if preference != "" {
		r.query.Set("preference", preference)
	}
	var answer searchAnswer
	err := s.call(ctx, r, &answer)
	for wait := 50 * time.Millisecond; wait < 2*time.Second && starting(err) && pause(ctx, wait); wait *= 2 {
		answer = searchAnswer{}
		err = s.call(ctx, r, &answer)
	}
	if err != nil {
		return answer, searchError(err)
	}
	switch shards := answer.Shards; {
	case answer.TimedOut:
		return answer, fmt.Errorf("%w: opensearch: search took longer than 10 s", store.ErrUnavailable)
	case shards == nil:
		return answer, fmt.Errorf("%w: opensearch: answer does not say which shards were searched", store.ErrUnavailable)
	case shards.Failed > 0 || shards.Successful < shards.Total:
		return answer, fmt.Errorf("%w: opensearch: only %d of %d shards were searched", store.ErrUnavailable, shards.Successful, shards.Total)
	}
	return answer, nil
}

// starting reports whether err may be that of an index which was made a moment ago: it can be seen
// before it can be searched.
func starting(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status == http.StatusServiceUnavailable &&
		(answer.kind == "search_phase_execution_exception" || answer.kind == "no_shard_available_action_exception")
}

// searchError tells a query that cannot be run from a server that cannot answer.
func searchError(err error) error {
	var answer *answerError
	if !errors.As(err, &answer) {
		return unavailable(err)
	}
	if _, known := troubleOf(answer.kind, answer.reason); known {
		return unavailable(err)
	}
	// A prefix that too many words begin with comes as a 400 or a 500, by version.
	if answer.status == http.StatusBadRequest || strings.Contains(answer.kind, "too_many_clauses") ||
		strings.Contains(answer.reason, "maxClauseCount") {
		return fmt.Errorf("%w: %w", store.ErrQuery, err)
	}
	return unavailable(err)
}

func pageOf(q store.Query, answer searchAnswer) (store.Page, error) {
	hits := answer.Hits.Hits
	page := store.Page{HasMore: len(hits) > q.Size}
	if page.HasMore {
		hits = hits[:q.Size]
	}
	for _, h := range hits {
		r, err := recordOf(h)
		if err != nil {
			return store.Page{}, err
		}
		page.Records = append(page.Records, r)
	}
	total := answer.Hits.Total
	if total == nil {
		return page, nil
	}
	if fetchSize(q) == q.Size {
		page.HasMore = total.Value > int64(q.Offset+q.Size)
	}
	if q.TotalLimit >= 0 {
		page.Total, page.TotalExact = total.Value, total.Relation == "eq"
		if limit := int64(q.TotalLimit); page.Total > limit {
			page.Total, page.TotalExact = limit, false
		}
	}
	return page, nil
}

func recordOf(h hit) (event.Record, error) {
	r, err := recordIn(h.Source)
	if err != nil {
		return event.Record{}, fmt.Errorf("%w: opensearch: document %q in %s: %w", store.ErrUnavailable, clip(h.ID, 64), h.Index, err)
	}
	return r, nil
}
