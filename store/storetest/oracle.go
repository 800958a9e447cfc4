package storetest

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// answer is what a store must answer to a valid query, found by looking at each record.
type answer struct {
	records []event.Record
	total   int
	hasMore bool
}

func oracle(records []event.Record, q store.Query) answer {
	q = q.WithDefaults()
	var found []event.Record
	for _, r := range records {
		if matches(r, q) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b event.Record) int {
		c := store.PositionOf(a).Compare(store.PositionOf(b))
		if !q.Ascending {
			c = -c
		}
		return c
	})
	out := answer{total: len(found)}
	if q.After != nil {
		found = slices.DeleteFunc(slices.Clone(found), func(r event.Record) bool {
			c := store.PositionOf(r).Compare(*q.After)
			return q.Ascending && c <= 0 || !q.Ascending && c >= 0
		})
	}
	found = found[min(q.Offset, len(found)):]
	if len(found) > q.Size {
		found, out.hasMore = found[:q.Size], true
	}
	out.records = found
	return out
}

func matches(r event.Record, q store.Query) bool {
	ms := r.Timestamp.UnixMilli()
	if !q.From.IsZero() && ms < q.From.UnixMilli() || !q.To.IsZero() && ms >= q.To.UnixMilli() {
		return false
	}
	for _, f := range q.Filters {
		if passes(r, f) == f.Not {
			return false
		}
	}
	terms, never := q.Terms()
	return !never && store.MatchText(terms, store.SearchText(r))
}

func passes(r event.Record, f store.Filter) bool {
	norm := func(s string) string {
		if f.Field.Folds() {
			return strings.ToUpper(store.Fold(s))
		}
		if a, err := netip.ParseAddr(s); err == nil && f.Field == store.FieldIPAddress {
			return a.String() // an address is an address, however it is written
		}
		return s
	}
	for _, have := range valuesOf(r, f.Field) {
		for _, want := range f.Values {
			if have != "" && norm(have) == norm(want) {
				return true
			}
		}
	}
	return false
}

func valuesOf(r event.Record, f store.Field) []string {
	switch f {
	case store.FieldLogID:
		return []string{r.LogID}
	case store.FieldUserID:
		return []string{r.UserID}
	case store.FieldUsername:
		return []string{r.Username}
	case store.FieldFullName:
		return []string{r.FullName}
	case store.FieldAction:
		return []string{string(r.Action)}
	case store.FieldObjectType:
		return []string{r.ObjectType}
	case store.FieldObjectID:
		return []string{r.ObjectID}
	case store.FieldSourceModel:
		return []string{r.SourceModel}
	case store.FieldSourcePK:
		return []string{r.SourcePK}
	case store.FieldTenantID:
		return []string{r.TenantID}
	case store.FieldRequestID:
		return []string{r.RequestID}
	case store.FieldTraceID:
		return []string{r.TraceID}
	case store.FieldSessionKey:
		return []string{r.SessionKey}
	case store.FieldIPAddress:
		return []string{r.IPAddress}
	case store.FieldBatchID:
		return []string{r.BatchID}
	case store.FieldBatchAction:
		return []string{string(r.BatchAction)}
	case store.FieldTxID:
		return []string{r.TxID}
	case store.FieldChangedField:
		return r.ChangedFields
	}
	return nil
}
