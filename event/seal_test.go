package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestMembers_ofTheContentComeFirst is what Seal goes by: the encoding of the content, and then what is
// written on the way.
func TestMembers_ofTheContentComeFirst(t *testing.T) {
	t.Parallel()
	if len(members) > maxMembers {
		t.Fatalf("%d members, want at most %d", len(members), maxMembers)
	}
	on := false
	for _, m := range members {
		if on && m.kind != transport {
			t.Errorf("%s stands behind a member that is written on the way", m.name)
		}
		on = on || m.kind == transport
	}
}

func TestSeal_isContentHashAndEncode(t *testing.T) {
	t.Parallel()
	base := Record{LogID: "1", Timestamp: time.Unix(1, 2), Action: ActionChange, ObjectType: "customer", Extra: map[string]any{"b": 1, "a": "x"}}
	large := base
	for range 100 {
		large.Changes = append(large.Changes, Change{Field: "notes", Old: quoted(strings.Repeat("ä", 2000)), New: quoted(strings.Repeat("b", 3000))})
	}
	foreign, err := Decode([]byte(`{"log_id":"2","timestamp":"2024-01-02T03:04:05Z","action":"ADD","zulu":{"a":1},"alpha":[1,2],"schema_version":1,"seq":7,"producer_id":"p"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Record{"small": base, "large": large, "with members of others": foreign, "no message": {LogID: "1", Timestamp: time.Unix(1, 0), Action: ActionAdd}} {
		want := r
		if want.RecordHash, err = ContentHash(r); err != nil {
			t.Fatal(err)
		}
		encoded, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		sealed := r
		got, err := Seal(&sealed, []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		if sealed.RecordHash != want.RecordHash {
			t.Errorf("%s: record_hash %s, want %s", name, sealed.RecordHash, want.RecordHash)
		}
		if string(got) != "before"+string(encoded) {
			t.Errorf("%s: got\n%.300s\nwant\n%.300s", name, got, encoded)
		}
	}
	invalid := Record{}
	if got, err := Seal(&invalid, []byte("x")); err == nil || string(got) != "x" || invalid.RecordHash != "" {
		t.Errorf("a record without log_id: %q, %q, %v", got, invalid.RecordHash, err)
	}
}

func quoted(s string) json.RawMessage { return appendString(nil, s) }

// closely is appendRaw without its short way.
func closely(raw []byte, allowed int) []byte {
	if len(raw) == 0 {
		return []byte("null")
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	if !json.Valid(raw) || depth(raw) > allowed || extreme(raw) {
		return appendString(nil, string(raw))
	}
	if _, twice := duplicateKey(raw); twice {
		return appendString(nil, string(raw))
	}
	return appendCanonical(nil, raw)
}

// FuzzPlain compares the short way of appendRaw with the long one.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{
		`{"headers":["field"],"rows":[{"field":"a\"b","old_value":null,"new_value":-1.5e+10}]}`, `"a\u0041"`, `"tab\t"`, "\"raw\ttab\"", `[[[[1]]]]`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, ` 1`, `01`, `-`, `1.`, `1e`, `true`, `nul`, `""`, `"`, `{"a":1,}`, `[1,]`, `[`, `{}`, `[]`, "\"\xff\"", `1 `, `"\/"`,
		strings.Repeat("9", 1001), strings.Repeat("[", 70) + strings.Repeat("]", 70), `"` + strings.Repeat("ä", 600) + `"`, `{"` + strings.Repeat("n", 40000) + `":1}`,
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, raw []byte, allowed int) {
		allowed = min(max(allowed, 0), MaxDepth)
		if got, want := appendRaw(nil, raw, allowed), closely(raw, allowed); !bytes.Equal(got, want) {
			t.Fatalf("%q at %d: got %q, want %q", raw, allowed, got, want)
		}
	})
}
