package sqlstore

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// keyFields are filtered by way of the text index, because an index of their own would lengthen every
// write of the application. The columns are checked all the same, so a key only needs to be selective.
var keyFields = []store.Field{
	store.FieldUsername, store.FieldFullName, store.FieldSourcePK, store.FieldRequestID, store.FieldTraceID,
	store.FieldSessionKey, store.FieldIPAddress, store.FieldTxID, store.FieldChangedField,
}

// indexedFields have an index in the table itself.
var indexedFields = []store.Field{store.FieldLogID, store.FieldUserID, store.FieldObjectID, store.FieldBatchID}

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// key gives the word for a value of a field. No word of a text, nor the beginning of one, is like it.
func key(kind, value string) string {
	sum := sha256.Sum256([]byte(kind + "=" + value))
	return "_" + keyEncoding.EncodeToString(sum[:13])
}

// keysOf gives the keys of a record, between spaces.
func keysOf(r event.Record) string {
	var keys []string
	add := func(f store.Field, values ...string) {
		for _, v := range values {
			if v = filterKey(f, v); v != "" {
				keys = append(keys, key(string(f), v))
			}
		}
	}
	for _, f := range keyFields {
		switch f {
		case store.FieldUsername:
			add(f, r.Username)
		case store.FieldFullName:
			add(f, r.FullName)
		case store.FieldSourcePK:
			add(f, r.SourcePK)
		case store.FieldRequestID:
			add(f, r.RequestID)
		case store.FieldTraceID:
			add(f, r.TraceID)
		case store.FieldSessionKey:
			add(f, r.SessionKey)
		case store.FieldIPAddress:
			add(f, r.IPAddress)
		case store.FieldTxID:
			add(f, r.TxID)
		case store.FieldChangedField:
			add(f, r.ChangedFields...)
		}
	}
	// Nothing asks for these yet; an index without them would have to be made again.
	for _, t := range store.ChangeTokens(r) {
		keys = append(keys, key("chg", t))
	}
	for _, t := range store.ExtraTokens(r) {
		keys = append(keys, key("extra", t))
	}
	return strings.Join(keys, " ")
}

// match is what the text index is asked for: all terms, and of each list of keys one.
type match struct {
	terms []store.Term
	keys  [][]string
}

// newMatch gives what the text index can do for the query. The second value is false if the table's own
// indexes do better, or as well.
func newMatch(q store.Query, terms []store.Term) (match, bool) {
	m := match{terms: terms}
	own := false
	for _, f := range q.Filters {
		if f.Not {
			continue
		}
		own = own || slices.Contains(indexedFields, f.Field)
		if !slices.Contains(keyFields, f.Field) {
			continue
		}
		var keys []string
		for _, v := range f.Values {
			if v = filterKey(f.Field, v); v != "" {
				keys = append(keys, key(string(f.Field), v))
			}
		}
		if len(keys) > 0 {
			m.keys = append(m.keys, keys)
		}
	}
	return m, len(terms) > 0 || len(m.keys) > 0 && !own
}
