package store

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
)

// Changed gives the filter for records in which field was changed from the value before to the value after;
// nil stands for any. Values are compared exactly, as ChangeToken has them: "APPROVED" for a text, 12.50 or
// null for what is none. Values that were masked are never found.
func Changed(field string, before, after *string) Filter {
	return Filter{Field: FieldChange, Values: []string{ChangeToken(field, before, after)}}
}

// Extra gives the filter for records whose field of the application's own has one of the values; of nested
// fields the key is the path with dots, as in ExtraTokens.
func Extra(key string, values ...string) Filter {
	f := Filter{Field: FieldExtra, Values: make([]string, len(values))}
	for i, v := range values {
		f.Values[i] = ExtraToken(key, v)
	}
	return f
}

// Canonical gives v in the form in which values of the field are compared, and counted by facets: folded if
// the field folds, an action in upper case, an IP address in its shortest form.
func (f Field) Canonical(v string) string {
	switch f {
	case FieldAction, FieldBatchAction:
		return strings.ToUpper(Fold(v))
	case FieldIPAddress:
		if a, err := netip.ParseAddr(v); err == nil {
			return a.Unmap().String()
		}
		return v
	}
	if f.Folds() {
		return Fold(v)
	}
	return v
}

// Values gives what r has in the field, as it is in the record. A field that is empty has no value.
func (f Field) Values(r event.Record) []string {
	one := func(v string) []string {
		if v == "" {
			return nil
		}
		return []string{v}
	}
	switch f {
	case FieldLogID:
		return one(r.LogID)
	case FieldUserID:
		return one(r.UserID)
	case FieldUsername:
		return one(r.Username)
	case FieldFullName:
		return one(r.FullName)
	case FieldAction:
		return one(string(r.Action))
	case FieldObjectType:
		return one(r.ObjectType)
	case FieldObjectID:
		return one(r.ObjectID)
	case FieldSourceModel:
		return one(r.SourceModel)
	case FieldSourcePK:
		return one(r.SourcePK)
	case FieldTenantID:
		return one(r.TenantID)
	case FieldRequestID:
		return one(r.RequestID)
	case FieldTraceID:
		return one(r.TraceID)
	case FieldSessionKey:
		return one(r.SessionKey)
	case FieldIPAddress:
		return one(r.IPAddress)
	case FieldBatchID:
		return one(r.BatchID)
	case FieldBatchAction:
		return one(string(r.BatchAction))
	case FieldTxID:
		return one(r.TxID)
	case FieldChangedField:
		return slices.DeleteFunc(slices.Clone(r.ChangedFields), func(v string) bool { return v == "" })
	case FieldChange:
		return ChangeTokens(r)
	case FieldExtra:
		return ExtraTokens(r)
	}
	return nil
}

// Matches reports whether r passes the filter.
func (f Filter) Matches(r event.Record) bool {
	want := make([]string, 0, len(f.Values))
	for _, v := range f.Values {
		want = append(want, f.Field.Canonical(v))
	}
	return f.matches(r, want)
}

// matches is Matches with the values in their canonical form.
func (f Filter) matches(r event.Record, want []string) bool {
	for _, have := range f.Field.Values(r) {
		if slices.Contains(want, f.Field.Canonical(have)) {
			return !f.Not
		}
	}
	return f.Not
}

// Matcher gives a function that reports whether a record is one of those that q asks for, by its filters,
// times and Text. It is for those who hold records in memory; a store has indices. The function may be
// called concurrently.
func (q Query) Matcher() func(r event.Record) bool {
	terms, never := q.Terms()
	wants := make([][]string, len(q.Filters))
	for i, f := range q.Filters {
		for _, v := range f.Values {
			wants[i] = append(wants[i], f.Field.Canonical(v))
		}
	}
	return func(r event.Record) bool {
		if never || !q.within(r) {
			return false
		}
		for i, f := range q.Filters {
			if !f.matches(r, wants[i]) {
				return false
			}
		}
		return len(terms) == 0 || MatchText(terms, SearchText(r))
	}
}

func (q Query) within(r event.Record) bool {
	ms := r.Timestamp.UnixMilli()
	return (q.From.IsZero() || ms >= q.From.UnixMilli()) && (q.To.IsZero() || ms < q.To.UnixMilli())
}
