package store

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

// FuzzDerived_isThePlainReading: the quick ways through a record give what the plain one gives.
func FuzzDerived_isThePlainReading(f *testing.F) {
	f.Add("John.Doe", "Phone", `"090 x"`, `"Đà"`)
	f.Add("Nguyễn", "f", `1.50`, `null`)
	f.Add("a\xff", "f\u241f", `"a\"b"`, `{"a":[1,"x",true]}`)
	f.Add(strings.Repeat("X", 300), "", ` "a"`, "\"\xff\"")
	f.Add("ǅ", strings.Repeat("é", 300), `01`, `"a"b"`)
	f.Add("A-Z", "e\u0301", `-`, `1e5 `)
	f.Fuzz(func(t *testing.T, repr, field, before, after string) {
		r := event.Record{
			ObjectRepr: repr, UserID: field, ChangeMessage: event.TextMessage(event.TextModified),
			Changes: []event.Change{{Field: field, Label: repr, Old: json.RawMessage(before), New: json.RawMessage(after)}},
			Extra:   map[string]any{field: repr, "x": json.Number("7")},
		}
		if diff := cmp.Diff(plainSearchText(r), SearchText(r)); diff != "" {
			t.Errorf("search text (-plain +quick):\n%s", diff)
		}
		if diff := cmp.Diff(plainChangeTokens(r), ChangeTokens(r)); diff != "" {
			t.Errorf("tokens (-plain +quick):\n%s", diff)
		}
		if got := AppendSearchText([]byte("before"), &r); string(got) != "before"+SearchText(r) {
			t.Errorf("appended: %q", got)
		}
	})
}

// plainSearchText is SearchText without a quick way, for records like those of the test.
func plainSearchText(r event.Record) string {
	var words []string
	size, full := 0, false
	add := func(s string) {
		if len(s) > 4*MaxSearchText {
			s = s[:4*MaxSearchText]
		}
		for _, w := range Words(s) {
			if full = full || size+1+len(w) > MaxSearchText; full {
				return
			}
			if size > 0 {
				size++
			}
			size += len(w)
			words = append(words, w)
		}
	}
	var value func(v any)
	value = func(v any) {
		switch v := v.(type) {
		case string:
			add(v)
		case json.Number:
			add(v.String())
		case []any:
			for _, e := range v {
				value(e)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				value(v[name])
			}
		}
	}
	add(r.ObjectRepr)
	add(r.UserID)
	text, _ := r.ChangeMessage.Text()
	add(text)
	for _, c := range r.Changes {
		add(c.Field)
		add(c.Label)
		value(decode(c.Old))
		value(decode(c.New))
	}
	value(r.Extra)
	return strings.Join(words, " ")
}

// plainChangeTokens is ChangeTokens without a quick way.
func plainChangeTokens(r event.Record) (tokens []string) {
	text := func(data json.RawMessage) *string {
		if len(data) == 0 {
			return nil
		}
		var s string
		if data[0] != '"' || json.Unmarshal(data, &s) != nil {
			var b bytes.Buffer
			if s = string(data); json.Compact(&b, data) == nil {
				s = b.String()
			}
		}
		return &s
	}
	for _, c := range r.Changes {
		before, after := text(c.Old), text(c.New)
		tokens = append(tokens, ChangeToken(c.Field, nil, nil))
		if before != nil {
			tokens = append(tokens, ChangeToken(c.Field, before, nil))
		}
		if after != nil {
			tokens = append(tokens, ChangeToken(c.Field, nil, after))
		}
		if before != nil && after != nil {
			tokens = append(tokens, ChangeToken(c.Field, before, after))
		}
	}
	return tokens
}
