package query

import (
	"context"
	"net/http"
	"slices"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func objectParams() []param {
	return []param{pathParam("object_type", "type of the object"), pathParam("object_id", "id of the object")}
}

// history answers all that happened to an object: its own records and those of its dependents, which
// are recorded under it; and of an object that is a dependent those under its parents.
func (h *handler) history(r *call) {
	o := r.objectRef()
	q := h.parse(r)
	r.p.page(&q)
	if a, ok := h.page(r, q, o.fetch(h.Store), full); ok {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// objectRef names an object.
type objectRef struct{ kind, id string }

// objectRef gives the object that the path names.
func (r *call) objectRef() objectRef {
	o := objectRef{r.p.pathValue(r, "object_type"), r.p.pathValue(r, "object_id")}
	for _, field := range []string{"object_type", "object_id"} {
		r.p.visible(r.grant, field, field)
	}
	return o
}

// own gives the filters of what is recorded under the object, source those of what is recorded of it
// under others.
func (o objectRef) own() []store.Filter {
	return []store.Filter{{Field: store.FieldObjectType, Values: []string{o.kind}}, {Field: store.FieldObjectID, Values: []string{o.id}}}
}

func (o objectRef) source() []store.Filter {
	return []store.Filter{{Field: store.FieldSourceModel, Values: []string{o.kind}}, {Field: store.FieldSourcePK, Values: []string{o.id}}}
}

// fetch gives pages of both, in the order of the query. A filter cannot say "or", so there are two
// searches, each of which has the whole page at most.
func (o objectRef) fetch(s store.Searcher) fetchFunc {
	return func(ctx context.Context, q store.Query) (store.Page, error) {
		return merged(ctx, s, q, o.own(), o.source())
	}
}

// merged gives one page of the records that match q and one of the lists of filters. A query with an
// offset cannot be merged.
func merged(ctx context.Context, s store.Searcher, q store.Query, either ...[]store.Filter) (store.Page, error) {
	all := store.Page{TotalExact: true}
	seen := map[string]bool{}
	for _, filters := range either {
		part := q
		part.Filters = slices.Concat(q.Filters, filters)
		page, err := s.Search(ctx, part)
		if err != nil {
			return store.Page{}, err
		}
		for _, r := range page.Records {
			if !seen[r.LogID] {
				all.Records = append(all.Records, r)
			}
			seen[r.LogID] = true
		}
		all.Total += page.Total
		all.TotalExact = all.TotalExact && page.TotalExact
		all.HasMore = all.HasMore || page.HasMore
	}
	if limit := int64(q.TotalLimit); all.Total > limit {
		all.Total, all.TotalExact = max(limit, 0), false
	}
	slices.SortFunc(all.Records, func(a, b event.Record) int {
		c := store.PositionOf(a).Compare(store.PositionOf(b))
		if !q.Ascending {
			c = -c
		}
		return c
	})
	if len(all.Records) > q.Size {
		all.Records, all.HasMore = all.Records[:q.Size], true
	}
	return all, nil
}
