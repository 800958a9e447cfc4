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
func SearchText(r event.Record) string { return string(AppendSearchText(nil, &r)) }

// AppendSearchText appends SearchText of r to dst. It does not keep r.
func AppendSearchText(dst []byte, r *event.Record) []byte {
	t := textBuilder{b: dst, start: len(dst)}
	for _, s := range [...]string{
		r.ObjectRepr, r.FullName, r.Username, r.UserID, r.ObjectID, r.ObjectType, string(r.Action),
		r.LogID, r.SourceRepr, r.SourcePK, r.SourceModel, r.BatchID, string(r.BatchAction), r.RequestID, r.TraceID, r.TxID,
		r.TenantID, r.ImpersonatorID, r.IPAddress, r.Reason, r.Service, r.Host, r.HTTPRoute, r.Source, r.Table,
	} {
		t.add(s)
	}
	if text, ok := r.ChangeMessage.Text(); ok {
		t.add(text)
	} else if len(r.Changes) == 0 {
		t.addJSON(r.ChangeMessage.JSON())
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		t.add(c.Field)
		t.add(c.Label)
		t.addJSON(c.Old)
		t.addJSON(c.New)
	}
	if len(r.Changes) == 0 {
		for _, name := range r.ChangedFields {
			t.add(name)
		}
	}
	for _, e := range r.Errors {
		t.add(e)
	}
	if len(r.Extra) > 0 {
		for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
			t.addValue(r.Extra[name], 0)
		}
	}
	return t.b
}

type textBuilder struct {
	b     []byte
	start int // where the text begins in b
	full  bool
}

func (t *textBuilder) add(s string) {
	if t.full || s == "" {
		return
	}
	// More is hardly ever taken, and a huge value must not be folded in full for nothing.
	if len(s) > 4*MaxSearchText {
		s = s[:4*MaxSearchText]
	}
	if isASCII(s) {
		addASCII(t, s)
		return
	}
	var space [128]byte
	if folded, ok := appendLatin(space[:0], s); ok {
		addASCII(t, folded)
		return
	}
	eachWord(Fold(s), t.word)
}

// addBytes is add without a copy where it can be.
func (t *textBuilder) addBytes(s []byte) {
	if len(s) <= 4*MaxSearchText && isASCII(s) {
		addASCII(t, s)
		return
	}
	t.add(string(s))
}

// word adds a word, if there is room.
func (t *textBuilder) word(w string) bool { return addWord(t, w) }

func addWord[T string | []byte](t *textBuilder, w T) bool {
	if len(t.b)-t.start+1+len(w) > MaxSearchText {
		t.full = true
		return false
	}
	if len(t.b) > t.start {
		t.b = append(t.b, ' ')
	}
	t.b = append(t.b, w...)
	return true
}

// addASCII is add for a text of ASCII only, of which it makes no copy: most are.
func addASCII[T string | []byte](t *textBuilder, s T) {
	if t.full {
		return
	}
	for i := 0; i < len(s); {
		if !isWordByte[s[i]] {
			i++
			continue
		}
		end := i + 1
		for end < len(s) && isWordByte[s[end]] {
			end++
		}
		at := len(t.b)
		if !addWord(t, s[i:min(end, i+MaxWordLength)]) {
			return
		}
		for ; at < len(t.b); at++ {
			if c := t.b[at]; c >= 'A' && c <= 'Z' {
				t.b[at] = c + 'a' - 'A'
			}
		}
		i = end
	}
}

// isWordByte has the letters and digits of ASCII.
var isWordByte = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return is
}()

func (t *textBuilder) addJSON(data json.RawMessage) {
	if len(data) == 0 || t.full {
		return
	}
	switch s, kind := simple(data); kind {
	case simpleText, simpleNumber:
		t.addBytes(s)
	case simpleWord: // true, false and null have no words
	default:
		t.addValue(decode(data), 0)
	}
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
	EachChangeToken(&r, func(token []byte) { tokens = append(tokens, string(token)) })
	return tokens
}

// EachChangeToken calls yield with each of the ChangeTokens of r, which it may not keep.
func EachChangeToken(r *event.Record, yield func(token []byte)) {
	t := tokenizer{yield: yield, b: make([]byte, 0, 256)}
	for i := range r.Changes {
		c := &r.Changes[i]
		t.put("f", c.Field)
		if c.Redacted {
			continue
		}
		before, hasBefore := valueText(c.Old)
		after, hasAfter := valueText(c.New)
		if hasBefore {
			t.put("o", c.Field, before)
		}
		if hasAfter {
			t.put("n", c.Field, after)
		}
		if hasBefore && hasAfter {
			t.put("c", c.Field, before, after)
		}
	}
	if len(r.Changes) == 0 {
		for _, f := range r.ChangedFields {
			t.put("f", f)
		}
	}
}

// tokenizer makes up to MaxTokens tokens in one buffer.
type tokenizer struct {
	yield func([]byte)
	b     []byte
	n     int
}

func (t *tokenizer) put(kind, field string, values ...[]byte) {
	if t.n == MaxTokens {
		return
	}
	t.n++
	t.b = append(append(append(t.b[:0], kind...), separator...), field...)
	ascii := isASCII(field)
	for _, v := range values {
		t.b = append(append(t.b, separator...), v...)
		ascii = ascii && isASCII(v)
	}
	if !ascii {
		t.b = norm.NFC.Append(t.b[:0], []byte(string(t.b))...)
	}
	t.b = capped(t.b)
	t.yield(t.b)
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

// capped is capToken in the place of b.
func capped(b []byte) []byte {
	if len(b) <= MaxTokenLength {
		return b
	}
	sum := sha256.Sum256(b)
	return hex.AppendEncode(b[:0], sum[:])
}

// valueText gives the value of a change as it is in a token; ok is false if there is none.
func valueText(data json.RawMessage) (s []byte, ok bool) {
	if len(data) == 0 {
		return nil, false
	}
	if s, kind := simple(data); kind != notSimple {
		return s, true
	}
	return []byte(decodedText(data)), true
}

// decodedText is valueText of what is not simple.
func decodedText(data json.RawMessage) (s string) {
	if data[0] == '"' && json.Unmarshal(data, &s) == nil {
		return s
	}
	var b bytes.Buffer
	if json.Compact(&b, data) == nil {
		return b.String()
	}
	return string(data)
}

// ExtraTokens gives a token key=value for each text, number and boolean in the application's own
// fields of r; of nested values the key is the path with dots. See ExtraToken.
func ExtraTokens(r event.Record) []string {
	if len(r.Extra) == 0 {
		return nil
	}
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
