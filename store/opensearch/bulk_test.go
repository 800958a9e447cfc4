package opensearch

import (
	"bytes"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func TestWrite_createsTheIndexWithTheFullMapping(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := record(1)
	if got := writeAll(t, s, docs(t, r)); got[0] != store.Stored {
		t.Fatalf("got %s", got[0])
	}
	index := s.names.prefix + "-2026.11"
	mapping := raw(t, s, http.MethodGet, "/"+index+"/_mapping", nil)[index].(map[string]any)["mappings"].(map[string]any)
	if mapping["dynamic"] != "false" {
		t.Errorf("mapping is dynamic:\n%s", pretty(mapping))
	}
	settings := raw(t, s, http.MethodGet, "/"+index+"/_settings?flat_settings=true", nil)[index].(map[string]any)["settings"].(map[string]any)
	if settings["index.translog.durability"] != "request" || settings["index.codec"] != "best_compression" {
		t.Errorf("settings:\n%s", pretty(settings))
	}
	if got := found(t, s, store.Query{}); !slices.Equal(got, []string{r.LogID}) {
		t.Errorf("found %v", got)
	}
}

func TestWrite_sameRecordAgain_isDuplicate(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := record(1)
	list := docs(t, r, r)
	if got := writeAll(t, s, list); !slices.Equal(got, []store.Status{store.Stored, store.Duplicate}) {
		t.Errorf("twice in one bulk: %v", got)
	}
	// On another way it got other places on the stream.
	again := r
	again.IngestedAt, again.Stream, again.StreamOffset = november, "s", 17
	if got := writeAll(t, s, docs(t, again)); got[0] != store.Duplicate {
		t.Errorf("again: %v", got)
	}
}

func TestWrite_otherContent_isConflict_andTheStoredOneStays(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := record(1)
	writeAll(t, s, docs(t, r))
	forged := r
	forged.UserID = "666"
	forged.RecordHash = r.RecordHash
	if got := writeAll(t, s, docs(t, forged, record(2))); !slices.Equal(got, []store.Status{store.Conflict, store.Stored}) {
		t.Errorf("got %v", got)
	}
	got, err := refreshed(t, s).Get(t.Context(), r.LogID)
	if err != nil || got.UserID != "7" {
		t.Errorf("got user %q, %v", got.UserID, err)
	}
}

func TestWrite_keepsTheBytesOfTheRecord(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	encoded := []byte(`{"schema_version":1,"log_id":"a-1","timestamp":"2026-11-03T04:05:06.123456789Z","action":"ADD","username":"x","future":{"b":1.50,"a":[1,2]},"extra":{"k":1e3}}`)
	r, err := event.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := writeAll(t, s, []store.Doc{{Record: r, Encoded: encoded}}); got[0] != store.Stored {
		t.Fatal(got)
	}
	sources, err := s.multiGet(t.Context(), []documentID{{s.names.of(r.Timestamp), r.LogID}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(sources[0], encoded[:len(encoded)-1]) {
		t.Errorf("sent\n%s\nstored\n%s", encoded, sources[0])
	}
	back, err := recordIn(sources[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := event.Encode(back)
	if err != nil {
		t.Fatal(err)
	}
	want, err := event.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(again)); diff != "" {
		t.Errorf("record (-sent +stored):\n%s", diff)
	}
}

func TestWrite_valuesOfAnyKind_areStored(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	long := string(slices.Repeat([]byte("x"), 40_000))
	records := []event.Record{
		record(1, func(r *event.Record) { r.ChangeMessage = event.TableMessage(nil) }),
		record(2, func(r *event.Record) { r.IPAddress = "not an address" }),
		record(3, func(r *event.Record) {
			r.UserID, r.ObjectID, r.ObjectRepr, r.UserAgent, r.SessionKey, r.TxID = long, long, long, long, long, long
		}),
		record(4, func(r *event.Record) { r.Extra = map[string]any{"a.b": 1, "": "x", "_id": "y", "..": nil} }),
		record(5, func(r *event.Record) { r.Extra = map[string]any{"a": map[string]any{"b": "c"}, "long": long} }),
		record(6, func(r *event.Record) { r.Seq = 1<<64 - 1 }),
		record(7, func(r *event.Record) { r.ObjectRepr = "a\u0000b\r\n\u202e" }),
	}
	for i, status := range writeAll(t, s, docs(t, records...)) {
		if status != store.Stored {
			t.Errorf("record %d: %s", i+1, status)
		}
	}
	if got := found(t, s, store.Query{}); len(got) != len(records) {
		t.Errorf("found %d of %d", len(got), len(records))
	}
}

func TestWrite_onePoisonAmongMany_onlyThatOneIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	list := docs(t)
	for n := range 500 {
		list = append(list, docs(t, record(n))...)
	}
	// The server knows no such timestamp and refuses the document; the record says it is fine.
	list[250].Encoded = []byte(`{"schema_version":1,"log_id":"x","timestamp":"` + list[250].Record.Timestamp.Format("2006-01-02T15:04:05.999999999Z07:00") + `","action":"CHANGE","batch_summary":"maybe"}`)
	got := writeAll(t, s, list)
	for i, status := range got {
		want := store.Stored
		if i == 250 {
			want = store.Poison
		}
		if status != want {
			t.Errorf("document %d: %s, want %s", i, status, want)
		}
	}
}

func TestWrite_badDocuments_areNotSent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	bad := docs(t, record(1), record(2), record(3), record(4))
	bad[0].Record.LogID = ""
	bad[1].Record.LogID = string(slices.Repeat([]byte("x"), 513))
	bad[2].Encoded = []byte(`[]`)
	bad[2].Record.Timestamp = november.AddDate(0, 1, 0) // so that the encoding is not taken from it
	got := writeAll(t, s, bad)
	if got[0] != store.Poison || got[1] != store.Poison || got[3] != store.Stored {
		t.Errorf("got %v", got)
	}
}

func TestWrite_lineBreakInTheEncoding_doesNotEndTheDocument(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	list := docs(t, record(1))
	for _, encoded := range []string{
		"{\n \"schema_version\": 1,\n \"log_id\": \"a-1\",\n \"timestamp\": \"2026-11-03 04:05:06\",\n \"action\": \"update\"\n}",
		"{\"schema_version\":1,\"log_id\":\"a-2\",\"timestamp\":\"2026-11-03T04:05:06Z\",\"action\":\"CHANGE\"\n}",
	} {
		r, err := event.Decode([]byte(encoded))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, store.Doc{Record: r, Encoded: []byte(encoded)})
	}
	if got := writeAll(t, s, list); !slices.Equal(got, []store.Status{store.Stored, store.Stored, store.Stored}) {
		t.Errorf("got %v", got)
	}
	q := store.Query{Filters: []store.Filter{{Field: store.FieldAction, Values: []string{"CHANGE"}}}}
	if ids := found(t, s, q); len(ids) != 3 {
		t.Errorf("action CHANGE has %v", ids)
	}
}

func TestWrite_recordCannotBringItsOwnSearchWords(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	encoded := []byte(`{"schema_version":1,"log_id":"a-1","timestamp":"2026-11-03T04:05:06Z","action":"ADD","search_text":"forged","c\u0068g":["f␟salary"],"folded":["username=boss"]}`)
	r, err := event.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if got := writeAll(t, s, []store.Doc{{Record: r, Encoded: encoded}}); got[0] != store.Stored {
		t.Fatal(got)
	}
	if ids := found(t, s, store.Query{Text: "forged"}); len(ids) != 0 {
		t.Errorf("found by forged text: %v", ids)
	}
	q := store.Query{Filters: []store.Filter{{Field: store.FieldUsername, Values: []string{"boss"}}}}
	if ids := found(t, s, q); len(ids) != 0 {
		t.Errorf("found by forged name: %v", ids)
	}
	if ids := found(t, s, store.Query{}); len(ids) != 1 {
		t.Errorf("found %v", ids)
	}
}

func TestWrite_closedIndex_isEnvironment_andOthersAreStored(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	writeAll(t, s, docs(t, record(1)))
	october := record(2, func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, -1, 0) })
	raw(t, s, http.MethodPost, "/"+s.names.of(november)+"/_close", nil)
	if got := writeAll(t, s, docs(t, record(3), october)); !slices.Equal(got, []store.Status{store.Environment, store.Stored}) {
		t.Errorf("got %v", got)
	}
	raw(t, s, http.MethodPost, "/"+s.names.of(november)+"/_open", nil)
	if got := writeAll(t, s, docs(t, record(3))); got[0] != store.Stored {
		t.Errorf("after opening: %v", got)
	}
}

func TestWrite_readOnlyIndex_isEnvironment(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	writeAll(t, s, docs(t, record(1)))
	index := "/" + s.names.of(november)
	for _, block := range []string{"write", "read_only", "read_only_allow_delete"} {
		raw(t, s, http.MethodPut, index+"/_settings", object{"index.blocks." + block: true})
		if got := writeAll(t, s, docs(t, record(2))); got[0] != store.Environment {
			t.Errorf("%s: got %v", block, got)
		}
		raw(t, s, http.MethodPut, index+"/_settings", object{"index.blocks." + block: nil})
	}
	if got := writeAll(t, s, docs(t, record(2))); got[0] != store.Stored {
		t.Errorf("afterwards: %v", got)
	}
}

func TestWrite_indexOfSomebodyElse_isLeftAlone(t *testing.T) {
	t.Parallel()
	s := asAdmin(t, newBareStore(t)) // a template would give its mapping to the other's index
	index := s.names.of(november)
	raw(t, s, http.MethodPut, "/"+index, object{"mappings": object{"properties": object{"username": object{"type": "text"}}}})
	results, err := s.Write(t.Context(), docs(t, record(1)))
	if err != nil || results[0].Status != store.Environment {
		t.Fatalf("got %v, %v", results, err)
	}
	t.Log(results[0].Err)
}

func TestWrite_severalRequests(t *testing.T) {
	t.Parallel()
	s := newStore(t, func(c *Config) { c.MaxBulkBytes = 3000 })
	list := docs(t)
	for n := range 20 {
		list = append(list, docs(t, record(n))...)
	}
	for i, status := range writeAll(t, s, list) {
		if status != store.Stored {
			t.Errorf("document %d: %s", i, status)
		}
	}
	if got := found(t, s, store.Query{}); len(got) != 20 {
		t.Errorf("found %d", len(got))
	}
}

func TestWrite_timesOutOfRange_shareOneIndex(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var records []event.Record
	for i, year := range []int{1, 1969, 1999, 2101, 2262, 9999} {
		records = append(records, record(i, func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(year-2026, 0, 0) }))
	}
	for i, status := range writeAll(t, s, docs(t, records...)) {
		if status != store.Stored {
			t.Errorf("%s: %s", records[i].Timestamp, status)
		}
	}
	open, _, err := asReader(t, s).list(t.Context())
	if err != nil || !slices.Equal(open, []string{s.names.outOfRange()}) {
		t.Errorf("indices %v, %v", open, err)
	}
	ids := found(t, s, store.Query{Ascending: true})
	for i, r := range records {
		if i >= len(ids) || ids[i] != r.LogID {
			t.Fatalf("found %v", ids)
		}
	}
}
