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

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// derived are the fields that are computed from the record for searching. They stand at the end of the
// document; see record for how they are taken off again.
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

func derive(r event.Record) derived {
	d := derived{
		SearchText: store.SearchText(r),
		Changes:    store.ChangeTokens(r),
		Extra:      store.ExtraTokens(r),
	}
	for _, f := range []struct {
		field store.Field
		value string
	}{
		{store.FieldUsername, r.Username},
		{store.FieldFullName, r.FullName},
		{store.FieldAction, string(r.Action)},
		{store.FieldObjectType, r.ObjectType},
		{store.FieldSourceModel, r.SourceModel},
		{store.FieldBatchAction, string(r.BatchAction)},
		{store.FieldIPAddress, r.IPAddress},
	} {
		if f.value != "" {
			d.Folded = append(d.Folded, foldedToken(f.field, f.value))
		}
	}
	return d
}

// foldedToken is what "folded" has for a value of a field. A long one is replaced by its hash, because
// the index leaves out long keywords.
func foldedToken(field store.Field, value string) string {
	if field.Folds() {
		value = store.Fold(value)
	} else if a, err := netip.ParseAddr(value); err == nil {
		value = a.String()
	}
	token := string(field) + "=" + value
	if len(token) <= store.MaxTokenLength {
		return token
	}
	sum := sha256.Sum256([]byte(token))
	return string(field) + "#" + hex.EncodeToString(sum[:])
}

// source gives the document to index: the encoding of the record as it came, byte for byte, with the
// derived fields behind it. It is encoded anew only if the server would take it differently.
func source(doc store.Doc) ([]byte, error) {
	encoded := doc.Encoded
	if encoded == nil || !canonical(encoded, doc.Record) {
		var err error
		if encoded, err = event.Encode(doc.Record); err != nil {
			return nil, err
		}
	}
	encoded = bytes.TrimSpace(encoded)
	if len(encoded) < 2 || encoded[0] != '{' || encoded[len(encoded)-1] != '}' {
		return nil, fmt.Errorf("%w: encoding is no JSON object", event.ErrInvalid)
	}
	encoded, err := withoutDerived(encoded)
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(derive(doc.Record))
	if err != nil {
		return nil, fmt.Errorf("%w: derived fields: %w", event.ErrInvalid, err)
	}
	out := make([]byte, 0, len(encoded)+len(more)+1)
	out = append(out, encoded[:len(encoded)-1]...)
	if len(encoded) > 2 && len(more) > 2 {
		out = append(out, ',')
	}
	return append(out, more[1:]...), nil
}

// canonical reports whether the server reads from encoded what we do: the time in the one form that
// we write, the action not as an alias, and no line break, which would end the document.
func canonical(encoded []byte, r event.Record) bool {
	if bytes.IndexByte(encoded, '\n') >= 0 {
		return false
	}
	return bytes.Contains(encoded, []byte(`"timestamp":"`+r.Timestamp.UTC().Format(time.RFC3339Nano)+`"`)) &&
		bytes.Contains(encoded, []byte(`"action":"`+string(r.Action)+`"`))
}

// withoutDerived takes out members that have the names of derived fields: a record that brings them
// along could be found under words that are not in it.
func withoutDerived(encoded []byte) ([]byte, error) {
	suspect := false
	for _, name := range derivedNames {
		suspect = suspect || bytes.Contains(encoded, []byte(`"`+name+`"`)) || bytes.Contains(encoded, []byte(`\u`))
	}
	if !suspect {
		return encoded, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	found := false
	for _, name := range derivedNames {
		if _, ok := members[name]; ok {
			found = true
			delete(members, name)
		}
	}
	if !found {
		return encoded, nil
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
