package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/gormtrail/audit/event"
)

// Bounds of what is derived from a record.
const (
	MaxSearchText  = 32 << 10 // bytes of SearchText
	MaxTokenLength = 512      // bytes of a token; longer ones are replaced by their SHA-256 in hex
	MaxTokens      = 1000     // tokens of one kind
	maxDepth       = 32       // of nested values in extra
)

// separator stands between the parts of a change token.
const separator = "\u241F"

// SearchText gives the words by which Query.Text finds r, separated by single spaces: who, what
// object, ids, what was done, the changed fields with their values, and the texts of extra. It has at
// most MaxSearchText bytes; what is cut comes last in this order.
//
// A store must index it by splitting at spaces and nothing else (in OpenSearch the whitespace
// tokenizer): folding and splitting is done.
func SearchText(r event.Record) string {
	t := textBuilder{}
	t.add(r.ObjectRepr, r.FullName, r.Username, r.UserID, r.ObjectID, r.ObjectType, string(r.Action),
		r.LogID, r.SourceRepr, r.SourcePK, r.SourceModel, r.BatchID, string(r.BatchAction), r.RequestID, r.TraceID, r.TxID,
		r.TenantID, r.ImpersonatorID, r.IPAddress, r.Reason, r.Service, r.Host, r.HTTPRoute, r.Source, r.Table)
	if text, ok := r.ChangeMessage.Text(); ok {
		t.add(text)
	} else if len(r.Changes) == 0 {
		t.addJSON(r.ChangeMessage.JSON())
	}
	for _, c := range r.Changes {
		t.add(c.Field, c.Label)
		t.addJSON(c.Old)
		t.addJSON(c.New)
	}
	if len(r.Changes) == 0 {
		t.add(r.ChangedFields...)
	}
	t.add(r.Errors...)
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		t.addValue(r.Extra[name], 0)
	}
	return t.b.String()
}

type textBuilder struct {
	b    strings.Builder
	full bool
}

func (t *textBuilder) add(texts ...string) {
	for _, s := range texts {
		if t.full {
			return
		}
		// More is hardly ever taken, and a huge value must not be folded in full for nothing.
		if len(s) > 4*MaxSearchText {
			s = s[:4*MaxSearchText]
		}
		eachWord(Fold(s), func(w string) bool {
			if t.b.Len()+1+len(w) > MaxSearchText {
				t.full = true
				return false
			}
			if t.b.Len() > 0 {
				t.b.WriteByte(' ')
			}
			t.b.WriteString(w)
			return true
		})
	}
}

func (t *textBuilder) addJSON(data json.RawMessage) {
	if len(data) == 0 || t.full {
		return
	}
	t.addValue(decode(data), 0)
}

// addValue adds the texts and numbers in v.
func (t *textBuilder) addValue(v any, depth int) {
	if t.full || depth > maxDepth {
		return
	}
	switch v := plain(v).(type) {
	case string:
		t.add(v)
	case json.Number:
		t.add(v.String())
	case []any:
		for _, e := range v {
			t.addValue(e, depth+1)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			t.addValue(v[name], depth+1)
		}
	}
}

// ChangeTokens gives tokens for finding changes exactly: of each change in r its field, field and old
// value, field and new value, and all three; see ChangeToken. Values that were masked are not among
// them.
func ChangeTokens(r event.Record) []string {
	var tokens []string
	add := func(field string, before, after *string) {
		if len(tokens) < MaxTokens {
			tokens = append(tokens, ChangeToken(field, before, after))
		}
	}
	for _, c := range r.Changes {
		add(c.Field, nil, nil)
		if c.Redacted {
			continue
		}
		before, after := valueText(c.Old), valueText(c.New)
		if before != nil {
			add(c.Field, before, nil)
		}
		if after != nil {
			add(c.Field, nil, after)
		}
		if before != nil && after != nil {
			add(c.Field, before, after)
		}
	}
	if len(r.Changes) == 0 {
		for _, f := range r.ChangedFields {
			add(f, nil, nil)
		}
	}
	return tokens
}

// ChangeToken gives the token that ChangeTokens has for a change of field from the value before to
// the value after; nil stands for any. A value is the text of a JSON string, or the compact JSON of any
// other value (null, true, 12.50).
func ChangeToken(field string, before, after *string) string {
	switch {
	case before == nil && after == nil:
		return token("f", field)
	case after == nil:
		return token("o", field, *before)
	case before == nil:
		return token("n", field, *after)
	default:
		return token("c", field, *before, *after)
	}
}

func token(parts ...string) string {
	return capToken(norm.NFC.String(strings.Join(parts, separator)))
}

// capToken gives s, or its hash if s is too long for an index.
func capToken(s string) string {
	if len(s) <= MaxTokenLength {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// valueText gives the value of a change as it is in a token, nil if there is none.
func valueText(data json.RawMessage) *string {
	if len(data) == 0 {
		return nil
	}
	var s string
	if data[0] == '"' && json.Unmarshal(data, &s) == nil {
		return &s
	}
	var b bytes.Buffer
	if json.Compact(&b, data) == nil {
		s = b.String()
	} else {
		s = string(data)
	}
	return &s
}

// ExtraTokens gives a token key=value for each text, number and boolean in the application's own
// fields of r; of nested values the key is the path with dots. See ExtraToken.
func ExtraTokens(r event.Record) []string {
	var tokens []string
	var walk func(key string, v any, depth int)
	walk = func(key string, v any, depth int) {
		if len(tokens) >= MaxTokens || depth > maxDepth {
			return
		}
		switch v := plain(v).(type) {
		case string:
			tokens = append(tokens, ExtraToken(key, v))
		case json.Number:
			tokens = append(tokens, ExtraToken(key, v.String()))
		case bool:
			value := "false"
			if v {
				value = "true"
			}
			tokens = append(tokens, ExtraToken(key, value))
		case []any:
			for _, e := range v {
				walk(key, e, depth+1)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(key+"."+name, v[name], depth+1)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		walk(name, r.Extra[name], 0)
	}
	return tokens
}

// ExtraToken gives the token that ExtraTokens has for a field of the application's own.
func ExtraToken(key, value string) string {
	return capToken(norm.NFC.String(key + "=" + value))
}

// plain gives v in the types that JSON is decoded to, so that a record gives the same text before its
// encoding and after.
func plain(v any) any {
	switch v := v.(type) {
	case nil, string, bool, json.Number, []any, map[string]any:
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return decode(data)
}

func decode(data []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}
