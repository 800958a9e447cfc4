package opensearch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gormtrail/audit/store"
)

// The order of arrival is that of the sequence numbers which each shard gives to what is written to it. The
// server also says up to which number everything has been written, on all copies (the global checkpoint); a
// refresh afterwards makes that visible. So nothing is skipped however late or in whatever order writes come,
// and no clock matters.

// shard is one shard of one index.
type shard struct {
	index, id string
	uuid      string // of the index: one that is made anew under the same name numbers anew
	reached   int64  // everything up to this number was written
}

// key names the shard in a checkpoint.
func (s shard) key(n names) string {
	return strings.TrimPrefix(s.index, n.prefix+"-") + "/" + s.id + "/" + s.uuid
}

// checkpoint has the last number that was read of each shard.
type feedCheckpoint map[string]int64

func (c feedCheckpoint) String() string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, key+":"+strconv.FormatInt(c[key], 36))
	}
	return "os1;" + strings.Join(parts, ",")
}

func parseFeedCheckpoint(s string) (feedCheckpoint, error) {
	c := feedCheckpoint{}
	if s == "" {
		return c, nil
	}
	bad := fmt.Errorf("%w: %q", store.ErrCheckpoint, clip(s, 64))
	list, ok := strings.CutPrefix(s, "os1;")
	if !ok {
		return nil, bad
	}
	if list == "" {
		return c, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		key, text, ok := strings.Cut(part, ":")
		n, err := strconv.ParseInt(text, 36, 64)
		if !ok || err != nil || strings.Count(key, "/") != 2 {
			return nil, bad
		}
		c[key] = n
	}
	return c, nil
}

// Changes implements store.Feed. No record comes twice, unless its index was made anew. Records of one month are
// ordered as they were written, the months one after the other. The user needs, beside the right to read,
// indices:monitor/stats and indices:admin/refresh.
func (s *Store) Changes(ctx context.Context, r store.ChangesRequest) (store.Changes, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Changes{}, err
	}
	before, err := parseFeedCheckpoint(r.After)
	if err != nil {
		return store.Changes{}, err
	}
	shards, err := s.shards(ctx)
	if err != nil {
		return store.Changes{}, err
	}
	// Only of what is there now: an index that was removed does not come back under its uuid.
	after := feedCheckpoint{}
	var fresh []string
	for _, sh := range shards {
		key := sh.key(s.names)
		at, ok := before[key]
		if !ok {
			at = -1
		}
		after[key] = at
		if sh.reached > at && !slices.Contains(fresh, sh.index) {
			fresh = append(fresh, sh.index)
		}
	}
	if err := s.refreshAll(ctx, fresh); err != nil {
		return store.Changes{}, err
	}
	var changes store.Changes
	for _, sh := range shards {
		if sh.reached <= after[sh.key(s.names)] {
			continue
		}
		if len(changes.Records) == r.Size {
			changes.More = true
			break
		}
		if err := s.readShard(ctx, r, sh, after, &changes); err != nil {
			return store.Changes{}, err
		}
	}
	changes.Next = after.String()
	return changes, nil
}

// readShard adds what a shard has behind its checkpoint.
func (s *Store) readShard(ctx context.Context, r store.ChangesRequest, sh shard, after feedCheckpoint, changes *store.Changes) error {
	key, size := sh.key(s.names), r.Size-len(changes.Records)
	query := object{"bool": object{"filter": []object{
		queryOf(r.Query), {"range": object{"_seq_no": object{"gt": after[key], "lte": sh.reached}}},
	}}}
	answer, err := s.searchOn(ctx, sh.index, "_shards:"+sh.id+"|_primary", object{
		"query": query, "size": size, "timeout": "10s", "track_total_hits": false, "seq_no_primary_term": true,
		"sort": []object{{"_seq_no": object{"order": "asc"}}},
	})
	if err != nil {
		return err
	}
	for _, h := range answer.Hits.Hits {
		record, err := recordOf(h)
		if err != nil {
			return err
		}
		changes.Records = append(changes.Records, record)
		after[key] = h.SeqNo
	}
	if len(answer.Hits.Hits) < size {
		after[key] = sh.reached
	} else {
		changes.More = changes.More || after[key] < sh.reached
	}
	return nil
}

// Now implements store.Feed.
func (s *Store) Now(ctx context.Context) (string, error) {
	shards, err := s.shards(ctx)
	if err != nil {
		return "", err
	}
	now := feedCheckpoint{}
	for _, sh := range shards {
		now[sh.key(s.names)] = sh.reached
	}
	return now.String(), nil
}

// shards gives all shards, those of the oldest month first. A closed index is an error: what is in it would be
// missing.
func (s *Store) shards(ctx context.Context) ([]shard, error) {
	open, closed, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	if len(closed) > 0 {
		return nil, fmt.Errorf("%w: opensearch: index %q is closed", store.ErrUnavailable, closed[0])
	}
	var all []shard
	for some := range slices.Chunk(open, maxNamed) {
		var v struct {
			Indices map[string]struct {
				UUID   string `json:"uuid"`
				Shards map[string][]struct {
					Routing struct {
						Primary bool `json:"primary"`
					} `json:"routing"`
					SeqNo *struct {
						Global int64 `json:"global_checkpoint"`
					} `json:"seq_no"`
				} `json:"shards"`
			} `json:"indices"`
		}
		r := request{method: http.MethodGet, path: "/" + strings.Join(some, ",") + "/_stats/docs", query: url.Values{"level": {"shards"}}}
		if err := s.call(ctx, r, &v); err != nil {
			return nil, fmt.Errorf("opensearch: sequence numbers: %w", unavailable(err))
		}
		for _, index := range some {
			found := false
			for _, id := range slices.Sorted(maps.Keys(v.Indices[index].Shards)) {
				for _, copied := range v.Indices[index].Shards[id] {
					if copied.Routing.Primary && copied.SeqNo != nil {
						found = true
						all = append(all, shard{index, id, v.Indices[index].UUID, copied.SeqNo.Global})
					}
				}
			}
			if !found {
				return nil, fmt.Errorf("%w: opensearch: index %q has no primary shard now", store.ErrUnavailable, index)
			}
		}
	}
	return all, nil
}

// refreshAll makes what was written to the indices visible.
func (s *Store) refreshAll(ctx context.Context, list []string) error {
	for some := range slices.Chunk(list, maxNamed) {
		var v struct {
			Shards struct {
				Failed int `json:"failed"`
			} `json:"_shards"`
		}
		if err := s.call(ctx, request{method: http.MethodPost, path: "/" + strings.Join(some, ",") + "/_refresh"}, &v); err != nil {
			return fmt.Errorf("opensearch: refresh: %w", unavailable(err))
		}
		if v.Shards.Failed > 0 {
			return unavailable(errors.New("opensearch: refresh: some shards have failed"))
		}
	}
	return nil
}
