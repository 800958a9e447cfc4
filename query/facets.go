package query

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gormtrail/audit/store"
)

// facetsAnswer is the body of /facets/.
type facetsAnswer struct {
	Facets map[string]facetAnswer `json:"facets"`
	Window window                 `json:"window"`
	TookMS int64                  `json:"took_ms"`
}

type facetAnswer struct {
	// Values are the most frequent ones, in the form in which they are compared.
	Values []facetValue `json:"values"`
	// OtherCount is the sum of the others; WithoutCount is how many records have no value.
	OtherCount   int64 `json:"other_count"`
	WithoutCount int64 `json:"without_count"`
	// Exact is false if the counts may be too low.
	Exact bool `json:"exact"`
}

type facetValue struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// defaultFacets are those that are counted if none is named.
var defaultFacets = []store.Field{store.FieldAction, store.FieldObjectType, store.FieldUsername}

func facetParams() []param {
	var names []string
	for _, f := range store.FacetFields() {
		names = append(names, string(f))
	}
	return []param{
		{name: "fields", text: "fields between commas: " + strings.Join(names, ", ") + "; by default action,object_type,username", schema: schema{"type": "string", "minLength": 1, "maxLength": 512}},
		integer("size", "values of each field", store.DefaultFacetSize, 1, store.MaxFacetSize),
		text("prefix", "only values that begin so; for one field", store.MaxFacetPrefix),
	}
}

// facets answers which values occur how often. A facet ignores the filter on its own field, so that it shows
// what else could be chosen; what the caller is granted it never ignores.
func (h *handler) facets(r *call) {
	q := h.parse(r)
	ask := store.FacetRequest{
		Fields: r.p.fields(r.grant), Size: r.p.number("size", store.DefaultFacetSize, 1, store.MaxFacetSize),
		Prefix: r.p.prefix(),
	}
	if ask.Prefix != "" && len(ask.Fields) > 1 {
		r.p.bad("prefix", "conflict", "fields with one field", "cannot be used with %d fields", len(ask.Fields))
	}
	faceter, ok := able[store.Faceter](h, r)
	if !ok {
		return
	}
	found, err := facetsOf(r.c.Request.Context(), faceter, q.query, r.grant, ask)
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, facetsAnswer{Facets: found, Window: h.window(q), TookMS: h.took(r)})
	}
}

func facetsOf(ctx context.Context, s store.Faceter, q store.Query, grant Grant, ask store.FacetRequest) (map[string]facetAnswer, error) {
	answers := map[string]facetAnswer{}
	take := func(q store.Query, fields []store.Field) error {
		one := ask
		one.Fields = fields
		found, err := s.Facets(ctx, granted(q, grant), one)
		if err != nil {
			return err
		}
		for _, f := range found {
			a := facetAnswer{Values: []facetValue{}, OtherCount: f.Others, WithoutCount: f.Without, Exact: f.Exact}
			for _, v := range f.Values {
				a.Values = append(a.Values, facetValue(v))
			}
			answers[string(f.Field)] = a
		}
		return nil
	}
	var rest []store.Field
	for _, field := range ask.Fields {
		others := slices.DeleteFunc(slices.Clone(q.Filters), func(f store.Filter) bool { return f.Field == field })
		if len(others) == len(q.Filters) {
			rest = append(rest, field)
			continue
		}
		without := q
		without.Filters = others
		if err := take(without, []store.Field{field}); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		if err := take(q, rest); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// fields reads the fields to count by.
func (p *parser) fields(grant Grant) []store.Field {
	v, ok := p.one("fields")
	if !ok {
		return slices.DeleteFunc(slices.Clone(defaultFacets), func(f store.Field) bool { return grant.hides(string(f)) })
	}
	var fields []store.Field
	for name := range strings.SplitSeq(v, ",") {
		f := store.Field(name)
		switch {
		case !slices.Contains(store.FacetFields(), f):
			p.bad("fields", "invalid_value", fmt.Sprint(store.FacetFields()), "%s cannot be counted by", quote(name))
		case slices.Contains(fields, f):
			p.bad("fields", "repeated_parameter", "each field once", "%s is there twice", name)
		case p.visible(grant, "fields", name):
			fields = append(fields, f)
		}
	}
	return fields
}

func (p *parser) prefix() string {
	v, ok := p.one("prefix")
	switch {
	case !ok:
	case !plain(v):
		p.bad("prefix", "invalid_value", "UTF-8 text without control characters", "%s cannot occur", quote(v))
	case utf8.RuneCountInString(v) > store.MaxFacetPrefix:
		p.bad("prefix", "too_long", fmt.Sprintf("at most %d characters", store.MaxFacetPrefix), "has %d characters", utf8.RuneCountInString(v))
	}
	return v
}
