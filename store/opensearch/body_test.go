package opensearch

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// FuzzSource: whatever a message says, if it is a record, its document is one line of JSON with each
// name once and our own search words, and the record comes back out of it.
func FuzzSource(f *testing.F) {
	for _, seed := range []string{
		`{"schema_version":1,"log_id":"a","timestamp":"2026-11-03T04:05:06Z","action":"ADD"}`,
		`{"schema_version":1,"log_id":"a","timestamp":"2026-11-03T04:05:06Z","action":"ADD","search_text":"x","chg":["y"],"reason":",\"search_text\":\""}`,
		`{"schema_version":1,"log_id":"a","timestamp":"2026-11-03T04:05:06Z","action":"ADD","c\u0068g":[1],"folded":{},"extra":{"search_text":"x"}}`,
		`{"schema_version":1,"log_id":"a","timestamp":"2026-11-03T04:05:06Z","action":"ADD","search_text":"x"}`,
		" {\"schema_version\" : 1,\n\"log_id\":\"a\",\"timestamp\":\"2026-11-03 04:05:06\",\"action\":\"create\",\"ip_address\":\"2001:DB8::1\"} ",
		`{"log_id":7,"timestamp":"2026-11-03T04:05:06","action":"UPDATE","search_text":"x","custom":1.50}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		r, err := event.Decode(encoded)
		if err != nil || !utf8.Valid(encoded) { // what is no UTF-8 the server refuses
			return
		}
		if event.Foreign(encoded) {
			if encoded, err = event.Encode(r); err != nil {
				return
			}
		}
		document, err := appendSource(nil, &store.Doc{Record: r, Encoded: encoded})
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(document, &members); err != nil || bytes.ContainsAny(document, "\n") {
			t.Fatalf("document is no line of JSON: %v\n%s", err, document)
		}
		want, err := json.Marshal(store.SearchText(r))
		if err != nil {
			t.Fatal(err)
		}
		if string(members["search_text"]) != string(want) {
			t.Errorf("search text is %s, want %s", members["search_text"], want)
		}
		if len(store.ChangeTokens(r)) == 0 && members["chg"] != nil {
			t.Errorf("it has brought its own tokens: %s", members["chg"])
		}
		back, err := recordIn(document)
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		own, ok := withoutForged(t, r)
		if !ok {
			return
		}
		h1, err1 := event.ContentHash(own)
		h2, err2 := event.ContentHash(back)
		if err1 != nil || err2 != nil || h1 != h2 {
			t.Errorf("another record comes back: %v %v\n%s\n%s", err1, err2, encoded, document)
		}
	})
}

// withoutForged is r without members that have the names of derived fields; ok is false if r has a value without an
// encoding, which is none to compare.
func withoutForged(t *testing.T, r event.Record) (_ event.Record, ok bool) {
	t.Helper()
	data, err := event.Encode(r)
	if err != nil {
		return r, false
	}
	if data, err = withoutDerived(data); err != nil {
		t.Fatal(err)
	}
	if r, err = event.Decode(data); err != nil {
		t.Fatal(err)
	}
	return r, true
}

func TestRecordIn_writtenAnew(t *testing.T) {
	t.Parallel()
	// As _reindex or a person's hand may leave it.
	r, err := recordIn([]byte(`{"search_text":"x","user_id":"7","chg":[],"log_id":"a","schema_version":1,"timestamp":"2026-11-03T04:05:06Z","search_text2":1,"action":"ADD","folded":["z"]}`))
	if err != nil || r.LogID != "a" || r.UserID != "7" {
		t.Fatalf("got %+v, %v", r, err)
	}
	// The derived fields first of all and other members behind them: nothing behind may be lost.
	r, err = recordIn([]byte(`{"schema_version":1,"log_id":"a","timestamp":"2026-11-03T04:05:06Z","action":"ADD","search_text":"x","user_id":"7"}`))
	if err != nil || r.UserID != "7" {
		t.Errorf("got %+v, %v", r, err)
	}
	data, err := event.Encode(r)
	if err != nil || bytes.Contains(data, []byte("search_text")) {
		t.Errorf("got %s, %v", data, err)
	}
}
