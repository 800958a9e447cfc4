package query

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// scopeNames are the values of the parameter scope in their order.
var scopeNames = []string{"all", "request", "trace", "session", "transaction", "batch", "user", "object"}

func contextParams() []param {
	return []param{
		pathParam("log_id", "id of the record"),
		integer("before", "records before it", 10, 0, 50), integer("after", "records after it", 10, 0, 50),
		choice("scope", "what the records have in common with it", "all", scopeNames...),
	}
}

// around is the body of /context/.
type around struct {
	Scope string `json:"scope"`
	// Scopes are those that the record has, with their values: what can be asked for.
	Scopes map[string][]string `json:"scopes"`
	// Before and After are in the order of time; HasBefore and HasAfter say whether there are more.
	Before    []json.RawMessage `json:"before"`
	Record    json.RawMessage   `json:"record"`
	After     []json.RawMessage `json:"after"`
	HasBefore bool              `json:"has_before"`
	HasAfter  bool              `json:"has_after"`
}

func (h *handler) context(r *call) {
	before, after := r.p.number("before", 10, 0, 50), r.p.number("after", 10, 0, 50)
	name := r.p.word("scope", "all", scopeNames...)
	record, ok := h.recordOf(r)
	if !ok {
		return
	}
	scopes := scopesOf(record, r.grant)
	filters, ok := scopes[name]
	if !ok {
		names := slices.DeleteFunc(slices.Clone(scopeNames), func(n string) bool { _, has := scopes[n]; return !has })
		r.p.bad("scope", "invalid_value", strings.Join(names, ", "), "the record has no %s that you can see", name)
		h.wrong(r)
		return
	}
	a := around{Scope: name, Scopes: map[string][]string{}}
	for name, filters := range scopes {
		a.Scopes[name] = []string{}
		for _, f := range filters {
			a.Scopes[name] = append(a.Scopes[name], f.Values...)
		}
	}
	var err error
	if a.Record, err = summary(record, r.grant); err == nil {
		a.Before, a.HasBefore, err = h.neighbours(r, record, filters, before, false)
	}
	if err == nil {
		a.After, a.HasAfter, err = h.neighbours(r, record, filters, after, true)
	}
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	slices.Reverse(a.Before)
	r.rows = 1 + len(a.Before) + len(a.After)
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// scopesOf gives the filters of each scope of the record.
func scopesOf(record event.Record, grant Grant) map[string][]store.Filter {
	scopes := map[string][]store.Filter{"all": {}}
	add := func(name string, fields map[store.Field]string) {
		var filters []store.Filter
		for _, f := range store.Fields() { // for the order
			v, ok := fields[f]
			if !ok {
				continue
			}
			if v == "" || grant.hides(string(f)) {
				return
			}
			filters = append(filters, store.Filter{Field: f, Values: []string{v}})
		}
		scopes[name] = filters
	}
	add("request", map[store.Field]string{store.FieldRequestID: record.RequestID})
	add("trace", map[store.Field]string{store.FieldTraceID: record.TraceID})
	add("session", map[store.Field]string{store.FieldSessionKey: record.SessionKey})
	add("transaction", map[store.Field]string{store.FieldTxID: record.TxID})
	add("batch", map[store.Field]string{store.FieldBatchID: record.BatchID})
	add("user", map[store.Field]string{store.FieldUserID: record.UserID})
	add("object", map[store.Field]string{store.FieldObjectType: record.ObjectType, store.FieldObjectID: record.ObjectID})
	return scopes
}

// neighbours gives up to n records of the scope that come before or after the record, the nearest first.
func (h *handler) neighbours(r *call, record event.Record, filters []store.Filter, n int, after bool) ([]json.RawMessage, bool, error) {
	shown := []json.RawMessage{}
	position := store.PositionOf(record)
	page, err := h.Store.Search(r.c.Request.Context(), store.Query{
		Filters: slices.Concat(filters, r.grant.Filters), Ascending: after, After: &position, Size: max(n, 1), TotalLimit: -1,
	})
	if err != nil {
		return nil, false, err
	}
	if n == 0 {
		return shown, len(page.Records) > 0, nil
	}
	for _, rec := range page.Records {
		s, err := summary(rec, r.grant)
		if err != nil {
			return nil, false, err
		}
		shown = append(shown, s)
	}
	return shown, page.HasMore, nil
}
