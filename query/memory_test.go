package query_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// memory is the plain reading of what a store.Searcher must do: the oracle for the real ones.
type memory []event.Record

func (m memory) Search(_ context.Context, q store.Query) (store.Page, error) {
	q = q.WithDefaults()
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	compare := store.Position.Compare
	if !q.Ascending {
		compare = func(a, b store.Position) int { return b.Compare(a) }
	}
	terms, never := q.Terms()
	inside := func(t time.Time) bool {
		ms := t.UnixMilli()
		return (q.From.IsZero() || ms >= q.From.UnixMilli()) && (q.To.IsZero() || ms < q.To.UnixMilli())
	}
	var found []event.Record
	for _, r := range m {
		if !never && inside(r.Timestamp) && matchAll(r, q.Filters) && (len(terms) == 0 || store.MatchText(terms, store.SearchText(r))) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b event.Record) int { return compare(store.PositionOf(a), store.PositionOf(b)) })
	most := max(q.TotalLimit, 0)
	p := store.Page{Total: int64(min(len(found), most)), TotalExact: len(found) <= most && q.TotalLimit > 0}
	if q.After != nil {
		found = slices.DeleteFunc(found, func(r event.Record) bool { return compare(store.PositionOf(r), *q.After) <= 0 })
	}
	found = found[min(q.Offset, len(found)):]
	p.HasMore = len(found) > q.Size
	p.Records = slices.Clone(found[:min(q.Size, len(found))])
	return p, nil
}

func (m memory) Get(_ context.Context, logID string, filters ...store.Filter) (event.Record, error) {
	if err := (store.Query{Filters: filters}).WithDefaults().Validate(); err != nil {
		return event.Record{}, err
	}
	for _, r := range m {
		if r.LogID == logID && matchAll(r, filters) {
			return r, nil
		}
	}
	return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, logID)
}

func matchAll(r event.Record, filters []store.Filter) bool {
	for _, f := range filters {
		hit := slices.ContainsFunc(f.Values, func(v string) bool {
			return slices.ContainsFunc(fieldValues(r, f.Field), func(have string) bool {
				return have != "" && normal(f.Field, have) == normal(f.Field, v)
			})
		})
		if hit == f.Not {
			return false
		}
	}
	return true
}

func normal(f store.Field, v string) string {
	if f.Folds() {
		return strings.ToUpper(store.Fold(v))
	}
	if addr, err := netip.ParseAddr(v); err == nil && f == store.FieldIPAddress {
		return addr.String()
	}
	return v
}

func fieldValues(r event.Record, f store.Field) []string {
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
