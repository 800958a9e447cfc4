package storetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// testContent checks that records come back as they went in.
func testContent(t *testing.T, b *bench) {
	at := start
	next := 0
	record := func(change func(r *event.Record)) event.Record {
		r := plainRecord(next, at.Add(time.Duration(next)*time.Second))
		next++
		change(&r)
		return r
	}
	message := func(raw string) event.Message {
		var m event.Message
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	big := strings.Repeat("0123456789abcdef ", 3000)
	all := "\u0000\u0001\t\n\r\"'\\/<>&`$%;--\u2028\u202e\ufeff\uffff😀é" + "e\u0301"
	records := map[string]event.Record{
		"minimal":      record(func(*event.Record) {}),
		"text message": record(func(r *event.Record) { r.ChangeMessage = event.TextMessage("Created new object") }),
		"table message": record(func(r *event.Record) {
			r.ChangeMessage = message(`{"headers":["field","old_value","new_value"],"rows":[{"field":"Phone","old_value":"090","new_value":null}]}`)
		}),
		// Of another producer: order of members, unknown members, numbers that float64 cannot hold.
		"foreign message": record(func(r *event.Record) {
			r.ChangeMessage = message(`{"rows":[{"new_value":12345678901234567890.10,"field":"A","x":[1,{"y":null}]}],"headers":["z"]}`)
		}),
		"array message":  record(func(r *event.Record) { r.ChangeMessage = message(`[1,"two",{"three":3}]`) }),
		"number message": record(func(r *event.Record) { r.ChangeMessage = message(`42`) }),
		"changes": record(func(r *event.Record) {
			r.Action = event.ActionChange
			r.ChangedFields = []string{"a", "b", "c", "d"}
			r.Changes = []event.Change{
				{Field: "a", Label: "A", Type: event.TypeDecimal, Old: json.RawMessage(`"12.50"`), New: json.RawMessage(`null`)},
				{Field: "b", Type: event.TypeInteger, Old: json.RawMessage(`9007199254740993`), New: json.RawMessage(`-1`)},
				{Field: "c", Type: event.TypeJSON, Old: json.RawMessage(`{"z":1,"a":[1.0,2e3]}`), New: json.RawMessage(`[]`)},
				{Field: "d", Old: json.RawMessage(`"***"`), New: json.RawMessage(`"***"`), Redacted: true, Truncated: true},
			}
		}),
		"extra": record(func(r *event.Record) {
			r.Extra = map[string]any{"a": json.Number("1.50"), "user_id": "shadow", "nested": map[string]any{"deep": []any{nil, true, "x", json.Number("12345678901234567890")}}, "": "empty", "a.b": "dots", "null": nil}
		}),
		"mixed types 1": record(func(r *event.Record) { r.Extra = map[string]any{"v": "text"} }),
		"mixed types 2": record(func(r *event.Record) { r.Extra = map[string]any{"v": json.Number("5")} }),
		"mixed types 3": record(func(r *event.Record) { r.Extra = map[string]any{"v": map[string]any{"w": true}} }),
		"big": record(func(r *event.Record) {
			r.ObjectRepr, r.Reason, r.UserAgent = big, big, big
			r.Extra = map[string]any{"big": big, "word": strings.Repeat("x", 40_000)}
			r.Changes = []event.Change{{Field: "note", Old: json.RawMessage(`"` + big + `"`), New: json.RawMessage(`"short"`)}}
			r.ChangedFields = []string{"note"}
		}),
		"big filters": record(func(r *event.Record) {
			long := strings.Repeat("ü", 20_000)
			r.UserID, r.Username, r.FullName, r.ObjectType, r.ObjectID = long, long, long, long, long
			r.SourceModel, r.SourcePK, r.TenantID, r.RequestID, r.TraceID, r.SessionKey = long, long, long, long, long, long
		}),
		"every character": record(func(r *event.Record) {
			r.UserID, r.Username, r.FullName, r.ObjectType, r.ObjectID, r.ObjectRepr = all, all, all, all, all, all
			r.TenantID, r.RequestID, r.SessionKey, r.BatchID, r.TxID, r.Reason = all, all, all, all, all, all
			r.ChangedFields, r.Extra = []string{all}, map[string]any{all: all}
			r.ChangeMessage = event.TextMessage(all)
		}),
		"bad address": record(func(r *event.Record) { r.IPAddress = "not an address" }),
		"zone":        record(func(r *event.Record) { r.Timestamp = time.Date(2026, 3, 29, 2, 30, 0, 123_456_789, time.UTC) }),
		"old":         record(func(r *event.Record) { r.Timestamp = time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC) }),
		"far":         record(func(r *event.Record) { r.Timestamp = time.Date(2199, 1, 1, 0, 0, 0, 1, time.UTC) }),
		"full": record(func(r *event.Record) {
			r.ActorType, r.ImpersonatorID, r.Source, r.Outcome, r.Service, r.Environment, r.Host = "user", "9", "api", "unknown", "crm", "test", "h1"
			r.HTTPMethod, r.HTTPRoute, r.SpanID, r.Table = "POST", "/customers/:id", "00f067aa0ba902b7", "customers"
			r.BatchSummary, r.TotalProcessed, r.ErrorCount, r.Errors = true, 1<<40, 2, []string{"a", "b"}
			r.ProducerID, r.Seq, r.RecordHash = "p1", 1<<63, strings.Repeat("ab", 32)
			r.IsTruncated, r.UntruncatedSize = true, 1<<33
			r.IngestedAt, r.Stream, r.StreamOffset = at.Add(time.Hour), "audit_logs_stream", 0
		}),
	}
	want := make(map[string][]byte, len(records)+1)
	var documents []store.Doc
	i := 0
	for _, name := range sortedKeys(records) {
		r := records[name]
		data := encode(t, r)
		want[r.LogID] = data
		d := store.Doc{Record: r}
		if i++; i%2 == 0 {
			d.Encoded = data
		}
		documents = append(documents, d)
	}
	// Members that this version does not know stay.
	unknown := []byte(`{"schema_version":7,"log_id":"` + id(next) + `","timestamp":"2026-02-01T00:00:00Z","action":"ADD","future":{"x":[1,2.50]},"zeta":null}`)
	decoded, err := event.Decode(unknown)
	if err != nil {
		t.Fatal(err)
	}
	want[decoded.LogID] = unknown
	documents = append(documents, store.Doc{Record: decoded, Encoded: unknown})
	// What a producer sent is stored byte for byte, so that it is decoded to the same message.
	const message1, message2 = `{ "rows" : [ ],  "headers":["<z>"] }`, `"\u00e9 \/"`
	for i, m := range []string{message1, message2} {
		spaced := []byte(`{"schema_version":1, "log_id":"` + id(next+1+i) + `","timestamp":"2026-02-01T00:00:00Z","action":"ADD","change_message":` + m + `}`)
		decoded, err := event.Decode(spaced)
		if err != nil {
			t.Fatal(err)
		}
		want[decoded.LogID] = encode(t, decoded)
		records["spaced "+m] = decoded
		documents = append(documents, store.Doc{Record: decoded, Encoded: spaced})
	}
	b.write(t, documents...)

	t.Run("get", func(t *testing.T) {
		t.Parallel()
		for logID, data := range want {
			if diff := cmp.Diff(string(data), string(encode(t, b.get(t, logID)))); diff != "" {
				t.Errorf("record %s (-want +got):\n%.2000s", logID, diff)
			}
		}
	})
	t.Run("search", func(t *testing.T) {
		t.Parallel()
		page := b.search(t, store.Query{Size: 100})
		if len(page.Records) != len(want) {
			t.Errorf("%d records, want %d", len(page.Records), len(want))
		}
		for _, r := range page.Records {
			if diff := cmp.Diff(string(want[r.LogID]), string(encode(t, r))); diff != "" {
				t.Errorf("record %s (-want +got):\n%.2000s", r.LogID, diff)
			}
		}
	})
	t.Run("messages are the same bytes", func(t *testing.T) {
		t.Parallel()
		for name, r := range records {
			if diff := cmp.Diff(string(r.ChangeMessage.JSON()), string(b.get(t, r.LogID).ChangeMessage.JSON())); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
	t.Run("mixed types are found", func(t *testing.T) {
		t.Parallel()
		b.wantIDs(t, store.Query{Text: "text", Filters: []store.Filter{{Field: store.FieldLogID, Values: []string{records["mixed types 1"].LogID, records["mixed types 2"].LogID}}}}, records["mixed types 1"].LogID)
	})
	t.Run("a big record is found by its words", func(t *testing.T) {
		t.Parallel()
		b.wantIDs(t, store.Query{Text: `"0123456789abcdef 0123456789abcdef"`}, records["big"].LogID)
		b.wantIDs(t, store.Query{Filters: []store.Filter{{Field: store.FieldChangedField, Values: []string{"note"}}}}, records["big"].LogID)
	})
	t.Run("times before and after all others", func(t *testing.T) {
		t.Parallel()
		b.wantIDs(t, store.Query{To: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}, records["old"].LogID)
		b.wantIDs(t, store.Query{Size: 1, Ascending: true}, records["old"].LogID)
		b.wantIDs(t, store.Query{From: time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC)}, records["far"].LogID)
		b.wantIDs(t, store.Query{Size: 1}, records["far"].LogID)
	})
}
