package sqlstore

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// keyFields are filtered by way of the text index even without a text, because an index of their own would
// lengthen every write of the application.
var keyFields = []store.Field{
	store.FieldUsername, store.FieldFullName, store.FieldSourcePK, store.FieldRequestID, store.FieldTraceID,
	store.FieldSessionKey, store.FieldIPAddress, store.FieldTxID, store.FieldChangedField,
}

// indexedFields have an index in the table itself.
var indexedFields = []store.Field{store.FieldUserID, store.FieldObjectID, store.FieldBatchID}

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// key gives the word for a value of a field. No word of a text, nor the beginning of one, is like it.
func key(kind, value string) string {
	sum := sha256.Sum256([]byte(kind + "=" + value))
	return "_" + keyEncoding.EncodeToString(sum[:13])
}

// keysOf gives the keys of a record, between spaces: one for each value of each field.
func keysOf(r event.Record) string {
	var keys []string
	add := func(f store.Field, values ...string) {
		for _, v := range values {
			if v = filterKey(f, v); v != "" {
				keys = append(keys, key(string(f), v))
			}
		}
	}
	add(store.FieldUserID, r.UserID)
	add(store.FieldAction, string(r.Action))
	add(store.FieldObjectType, r.ObjectType)
	add(store.FieldObjectID, r.ObjectID)
	add(store.FieldTenantID, r.TenantID)
	add(store.FieldBatchID, r.BatchID)
	add(store.FieldBatchAction, string(r.BatchAction))
	add(store.FieldUsername, r.Username)
	add(store.FieldFullName, r.FullName)
	add(store.FieldSourceModel, r.SourceModel)
	add(store.FieldSourcePK, r.SourcePK)
	add(store.FieldRequestID, r.RequestID)
	add(store.FieldTraceID, r.TraceID)
	add(store.FieldSessionKey, r.SessionKey)
	add(store.FieldIPAddress, r.IPAddress)
	add(store.FieldTxID, r.TxID)
	add(store.FieldChangedField, r.ChangedFields...)
	for _, t := range store.ChangeTokens(r) {
		keys = append(keys, tokenKey(store.FieldChange, t))
	}
	for _, t := range store.ExtraTokens(r) {
		keys = append(keys, tokenKey(store.FieldExtra, t))
	}
	return strings.Join(keys, " ")
}

// tokenKey gives the word for a token, which no column has: it is compared by this alone.
func tokenKey(f store.Field, token string) string {
	if f == store.FieldChange {
		return key("chg", token)
	}
	return key("extra", token)
}

// match is what the text index is asked for: all terms, and of each list of keys one. The columns are
// compared all the same, so a key only needs to be selective.
type match struct {
	terms []store.Term
	keys  [][]string
	// whole says that this is all that the query asks for.
	whole bool
}

// newMatch gives what the text index can do for the query. The second value is false if the table's own
// indexes do better, or as well.
func newMatch(q store.Query, terms []store.Term) (match, bool) {
	m := match{terms: terms, whole: q.From.IsZero() && q.To.IsZero()}
	own, seldom, tokens := false, false, false
	for _, f := range q.Filters {
		if isToken(f.Field) {
			if f.Not {
				return match{}, false // an index of words does not say where one is not
			}
			var keys []string
			for _, v := range f.Values {
				keys = append(keys, tokenKey(f.Field, v))
			}
			m.keys, tokens = append(m.keys, keys), true
			continue
		}
		if f.Not || f.Field == store.FieldLogID {
			own, m.whole = own || !f.Not, false
			continue
		}
		own = own || slices.Contains(indexedFields, f.Field)
		var keys []string
		for _, v := range f.Values {
			if v = filterKey(f.Field, v); v != "" {
				keys = append(keys, key(string(f.Field), v))
			}
		}
		m.whole = m.whole && len(keys) > 0
		if len(keys) > 0 {
			m.keys = append(m.keys, keys)
			seldom = seldom || slices.Contains(keyFields, f.Field)
		}
	}
	return m, len(terms) > 0 || tokens || seldom && !own
}
