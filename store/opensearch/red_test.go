package opensearch

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/store"
)

// TestSearch_oneOfTwoShardsRed_isAnError: by default the server answers 200 with the records of the other shard,
// and says that none has failed.
func TestSearch_oneOfTwoShardsRed_isAnError(t *testing.T) {
	t.Parallel()
	s := asAdmin(t, newStore(t)) // an index of other settings, and the shards, are not the business of a part
	body := s.names.indexBody()
	var settings struct {
		Index map[string]any `json:"index"`
	}
	if err := json.Unmarshal(readSchema().Settings, &settings); err != nil {
		t.Fatal(err)
	}
	// The only node may have one of the two shards.
	settings.Index["number_of_shards"], settings.Index["routing.allocation.total_shards_per_node"] = 2, 1
	body["settings"] = settings
	index := s.names.prefix + "-2026.11"
	r := request{method: http.MethodPut, path: "/" + index, body: asJSON(body), query: url.Values{"wait_for_active_shards": {"0"}}}
	if err := s.call(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
	there := awaitHalf(t, s, index)
	var here, elsewhere []event.Record
	for n := range 60 {
		r := record(n)
		if shardOf(t, s, index, r.LogID) == there {
			here = append(here, r)
		} else {
			elsewhere = append(elsewhere, r)
		}
	}
	writeAll(t, s, docs(t, append(here, record(1, func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, -1, 0) }))...))
	var plain answered
	await.Until(t, "what was written can be found, which a refresh would wait for in vain", func() bool {
		plain = answered{}
		if err := s.call(t.Context(), request{method: http.MethodGet, path: "/" + index + "/_search"}, &plain); err != nil {
			t.Fatal(err)
		}
		return plain.Hits.Total.Value == len(here)
	})
	t.Logf("the server says by default: 200, %+v", plain)
	if plain.Shards.Total != 2 || plain.Shards.Successful != 1 || plain.Shards.Failed != 0 {
		t.Errorf("this server is another one: %+v", plain)
	}

	for name, q := range map[string]store.Query{
		"all": {}, "the month": {From: november.AddDate(0, 0, -2)}, "text": {Text: "customer"}, "one object": {Filters: []store.Filter{{Field: store.FieldObjectID, Values: []string{"7"}}}},
	} {
		if page, err := s.Search(t.Context(), q); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %d records, %v; want ErrUnavailable and none", name, len(page.Records), err)
		}
	}
	if _, err := s.Get(t.Context(), elsewhere[0].LogID); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a record that would be on the shard that is not there: %v, want ErrUnavailable", err)
	}
	await.Until(t, "a month that is there can be read", func() bool {
		page, err := s.Search(t.Context(), store.Query{To: november.AddDate(0, 0, -3)})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Records) == 1
	})
}

// answered is the server's own answer to a search.
type answered struct {
	Shards struct{ Total, Successful, Failed int } `json:"_shards"`
	Hits   struct{ Total struct{ Value int } }
}

// awaitHalf waits until one of the shards has started, and gives its number.
func awaitHalf(t *testing.T, s *Store, index string) (number string) {
	t.Helper()
	await.Until(t, "a shard has started", func() bool {
		var shards []struct{ Shard, State string }
		r := request{method: http.MethodGet, path: "/_cat/shards/" + index, query: url.Values{"format": {"json"}}}
		if err := s.call(t.Context(), r, &shards); err != nil {
			t.Fatal(err)
		}
		for _, shard := range shards {
			if shard.State == "STARTED" {
				number = shard.Shard
			}
		}
		return number != ""
	})
	return number
}

// shardOf gives the number of the shard that a document belongs to, "" if no node has that shard.
func shardOf(t *testing.T, s *Store, index, id string) string {
	t.Helper()
	var v struct {
		Shards [][]struct{ Shard int }
	}
	r := request{method: http.MethodGet, path: "/" + index + "/_search_shards", query: url.Values{"routing": {id}}}
	if err := s.call(t.Context(), r, &v); err != nil || len(v.Shards) != 1 {
		t.Fatalf("%+v %v", v, err)
	}
	if len(v.Shards[0]) == 0 { // it is nowhere
		return ""
	}
	return strconv.Itoa(v.Shards[0][0].Shard)
}
