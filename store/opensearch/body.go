package opensearch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// derived are the fields that are computed from the record for searching. They stand at the end of the
// document; see recordIn for how they are taken off again.
//
//   - search_text: the words of the record, folded and split by store.SearchText.
//   - chg: tokens of what changed from what to what, by store.ChangeTokens.
//   - extra_kv: key=value of the application's own fields, by store.ExtraTokens.
//   - folded: field=value of the fields that are compared without case and accents, by store.Fold, so
//     that both stores find the same, which the server's own folding would not give; and the IP
//     address in its shortest form, because a field of type ip takes networks and refuses all else.
type derived struct {
	SearchText string   `json:"search_text"` // first, and always there: with it the record ends
	Changes    []string `json:"chg,omitempty"`
	Extra      []string `json:"extra_kv,omitempty"`
	Folded     []string `json:"folded,omitempty"`
}

var derivedNames = []string{"search_text", "chg", "extra_kv", "folded"}

// appendDerived appends the members of derived, each with a comma before it.
func appendDerived(dst []byte, r *event.Record) []byte {
	dst = append(dst, `,"search_text":"`...)
	// Words of letters and digits need no escapes.
	dst = append(store.AppendSearchText(dst, r), '"')
	tokens := tokenList{b: dst, name: "chg"}
	store.EachChangeToken(r, tokens.add)
	tokens.next("extra_kv")
	for _, t := range store.ExtraTokens(*r) {
		tokens.addText(t)
	}
	tokens.next("folded")
	tokens.fold(store.FieldUsername, r.Username)
	tokens.fold(store.FieldFullName, r.FullName)
	tokens.fold(store.FieldAction, string(r.Action))
	tokens.fold(store.FieldObjectType, r.ObjectType)
	tokens.fold(store.FieldSourceModel, r.SourceModel)
	tokens.fold(store.FieldBatchAction, string(r.BatchAction))
	tokens.fold(store.FieldIPAddress, r.IPAddress)
	tokens.next("")
	return tokens.b
}

// tokenList writes a member that is a list of texts, and nothing if there are none.
type tokenList struct {
	b    []byte
	name string
	some bool
}

// next ends the list and begins another one.
func (l *tokenList) next(name string) {
	if l.some {
		l.b = append(l.b, ']')
	}
	l.name, l.some = name, false
}

func (l *tokenList) begin() {
	if l.some {
		l.b = append(l.b, ',')
		return
	}
	l.b = append(append(append(l.b, `,"`...), l.name...), `":[`...)
	l.some = true
}

func (l *tokenList) add(token []byte) {
	l.begin()
	if isPlain(token) && utf8.Valid(token) {
		l.b = append(append(append(l.b, '"'), token...), '"')
		return
	}
	l.b = append(l.b, asJSON(string(token))...)
}

func (l *tokenList) addText(token string) {
	l.begin()
	l.b = appendText(l.b, token)
}

func (l *tokenList) fold(field store.Field, value string) {
	if value == "" {
		return
	}
	l.begin()
	start := len(l.b)
	l.b = append(append(append(l.b, '"'), field...), '=')
	from := len(l.b)
	if field.Folds() {
		l.b = store.AppendFold(l.b, value)
	} else if a, err := netip.ParseAddr(value); err == nil {
		l.b = a.Unmap().AppendTo(l.b)
	} else {
		l.b = append(l.b, value...)
	}
	if len(l.b)-start-1 <= store.MaxTokenLength && isPlain(l.b[from:]) && utf8.Valid(l.b[from:]) {
		l.b = append(l.b, '"')
		return
	}
	l.b = appendText(l.b[:start], foldedToken(field, value))
}

// isPlain reports whether s stands in a JSON string as it is, if it is UTF-8.
func isPlain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	if isPlain(s) && utf8.ValidString(s) {
		return append(append(append(dst, '"'), s...), '"')
	}
	return append(dst, asJSON(s)...)
}

// foldedToken is what "folded" has for a value of a field. A long one is replaced by its hash, because
// the index leaves out long keywords.
func foldedToken(field store.Field, value string) string {
	if field.Folds() {
		value = store.Fold(value)
	} else if a, err := netip.ParseAddr(value); err == nil {
		value = a.Unmap().String()
	}
	token := string(field) + "=" + value
	if len(token) <= store.MaxTokenLength {
		return token
	}
	sum := sha256.Sum256([]byte(token))
	return string(field) + "#" + hex.EncodeToString(sum[:])
}

// appendSource appends the document to index: the encoding of the record as it came, byte for byte, with
// the derived fields behind it. It is encoded anew only if the server would take it differently.
func appendSource(dst []byte, doc *store.Doc) ([]byte, error) {
	encoded := doc.Encoded
	if encoded == nil || !canonical(encoded, &doc.Record) {
		var err error
		if encoded, err = event.Encode(doc.Record); err != nil {
			return dst, err
		}
	}
	encoded = bytes.TrimSpace(encoded)
	if len(encoded) < 2 || encoded[0] != '{' || encoded[len(encoded)-1] != '}' {
		return dst, fmt.Errorf("%w: encoding is no JSON object", event.ErrInvalid)
	}
	encoded, err := withoutDerived(encoded)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = append(dst, encoded[:len(encoded)-1]...)
	comma := len(dst)
	dst = appendDerived(dst, &doc.Record)
	if len(bytes.TrimSpace(dst[start+1:comma])) == 0 { // {} has nothing that the comma would stand behind
		dst = append(dst[:comma], dst[comma+1:]...)
	}
	return append(dst, '}'), nil
}

// canonical reports whether the server reads from encoded what we do: the time in the one form that
// we write, the action not as an alias, and no line break, which would end the document.
func canonical(encoded []byte, r *event.Record) bool {
	if bytes.IndexByte(encoded, '\n') >= 0 {
		return false
	}
	var space [128]byte
	at := append(r.Timestamp.UTC().AppendFormat(append(space[:0], `"timestamp":"`...), time.RFC3339Nano), '"')
	if !bytes.Contains(encoded, at) {
		return false
	}
	return bytes.Contains(encoded, append(append(append(space[:0], `"action":"`...), r.Action...), '"'))
}

// withoutDerived takes out members that have the names of derived fields: a record that brings them
// along could be found under words that are not in it.
func withoutDerived(encoded []byte) ([]byte, error) {
	if !event.HasMember(encoded, derivedNames...) {
		return encoded, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	for _, name := range derivedNames {
		delete(members, name)
	}
	out, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	return out, nil
}

// derivedStart begins the derived fields in a document. No text of the record or of the fields behind it
// has these bytes, because within a text quotes are escaped.
const derivedStart = `,"search_text":"`

// recordIn gives the record in a document that source made, byte for byte as it came.
func recordIn(document []byte) (event.Record, error) {
	at := bytes.LastIndex(document, []byte(derivedStart))
	if at >= 0 && onlyDerived(document[at+1:]) {
		encoded := make([]byte, 0, at+1)
		return event.Decode(append(append(encoded, document[:at]...), '}'))
	}
	// Somebody has written the document anew, in another order.
	encoded, err := withoutDerived(document)
	if err != nil {
		return event.Record{}, err
	}
	return event.Decode(encoded)
}

// onlyDerived reports whether tail, the end of a document, has the derived fields and nothing else.
func onlyDerived(tail []byte) bool {
	d := json.NewDecoder(io.MultiReader(strings.NewReader("{"), bytes.NewReader(tail)))
	d.DisallowUnknownFields()
	var v derived
	return d.Decode(&v) == nil
}
