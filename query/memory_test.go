package query_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	var found []event.Record
	for _, r := range m {
		if matchAll(r, q.Filters) && !never && store.MatchText(terms, store.SearchText(r)) && (q.From.IsZero() || !r.Timestamp.Before(q.From)) && (q.To.IsZero() || r.Timestamp.Before(q.To)) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b event.Record) int { return compare(store.PositionOf(a), store.PositionOf(b)) })
	p := store.Page{Total: int64(len(found)), TotalExact: true}
	if q.After != nil {
		found = slices.DeleteFunc(found, func(r event.Record) bool { return compare(store.PositionOf(r), *q.After) <= 0 })
	}
	found = found[min(q.Offset, len(found)):]
	p.HasMore = len(found) > q.Size
	p.Records = slices.Clone(found[:min(q.Size, len(found))])
	return p, nil
}

func (m memory) Get(_ context.Context, logID string, filters ...store.Filter) (event.Record, error) {
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
				return have == v || f.Field.Folds() && strings.EqualFold(have, v)
			})
		})
		if hit == f.Not {
			return false
		}
	}
	return true
}

func fieldValues(r event.Record, f store.Field) []string {
	one := map[store.Field]string{
		store.FieldLogID: r.LogID, store.FieldUserID: r.UserID, store.FieldUsername: r.Username, store.FieldFullName: r.FullName,
		store.FieldAction: string(r.Action), store.FieldObjectType: r.ObjectType, store.FieldObjectID: r.ObjectID,
		store.FieldSourceModel: r.SourceModel, store.FieldSourcePK: r.SourcePK, store.FieldTenantID: r.TenantID,
		store.FieldRequestID: r.RequestID, store.FieldTraceID: r.TraceID, store.FieldSessionKey: r.SessionKey,
		store.FieldIPAddress: r.IPAddress, store.FieldBatchID: r.BatchID, store.FieldBatchAction: string(r.BatchAction), store.FieldTxID: r.TxID,
	}
	if f == store.FieldChangedField {
		return r.ChangedFields
	}
	return []string{one[f]}
}
