package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Bounds of facets.
const (
	DefaultFacetSize  = 10
	MaxFacetSize      = 100     // values of one facet
	MaxFacetPrefix    = 64      // characters of FacetRequest.Prefix
	DefaultFacetLimit = 100_000 // records that are looked at
)

// Faceter counts records by the values of fields. Its method may be called concurrently and honours ctx.
type Faceter interface {
	// Facets gives one Facet for each field of r, in their order, over the records that match q. All filters
	// of q hold for all facets: who wants a facet that ignores the filter on its own field asks once more
	// without that filter. Of q only filters, times and Text matter. The error wraps ErrQuery if q or r is
	// not valid; else errors are those of Search.
	Facets(ctx context.Context, q Query, r FacetRequest) ([]Facet, error)
}

// FacetRequest says what is counted.
type FacetRequest struct {
	// Fields are the fields, at least one, each once, of FacetFields.
	Fields []Field
	// Size is how many values of each field are wanted, those that most records have. Defaults to
	// DefaultFacetSize; at most MaxFacetSize.
	Size int
	// Prefix leaves out all values that do not begin so. It is compared as the field's values are: without
	// case and accents if the field folds. At most MaxFacetPrefix characters.
	Prefix string
	// Limit is how many records a store may have to read one by one; if more match, it counts the newest ones
	// and says that the counts are not exact. A store that counts without reading ignores it. Defaults to
	// DefaultFacetLimit; negative means no limit.
	Limit int
}

// Facet has the values of one field and how many records have them.
type Facet struct {
	Field Field
	// Values has the most frequent values, by falling count and then by the bytes of the value.
	Values []FacetValue
	// Others is the sum of the counts of the values that Values leaves out. A record with several values
	// (FieldChangedField) counts for each.
	Others int64
	// Without is how many records have no value in the field.
	Without int64
	// Exact is false if the counts may be too low, and the choice of the values another one: more records
	// match than were looked at, or the store estimates.
	Exact bool
}

// FacetValue is a value and how many records have it.
type FacetValue struct {
	// Value is in the form of Field.Canonical; a filter by it finds exactly the records that were counted. In
	// place of a value of more than 256 bytes there may be its hash, and it may not be found.
	Value string
	Count int64
}

// FacetFields gives the fields that can be counted by: those that are no ids of single acts.
func FacetFields() []Field {
	return []Field{
		FieldAction, FieldObjectType, FieldObjectID, FieldUserID, FieldUsername, FieldFullName, FieldTenantID, FieldSourceModel,
		FieldBatchAction, FieldBatchID, FieldIPAddress, FieldChangedField,
	}
}

// WithDefaults gives r with the defaults filled in.
func (r FacetRequest) WithDefaults() FacetRequest {
	if r.Size == 0 {
		r.Size = DefaultFacetSize
	}
	if r.Limit == 0 {
		r.Limit = DefaultFacetLimit
	}
	return r
}

// Validate reports everything that is wrong with r, which has its defaults; the error wraps ErrQuery.
func (r FacetRequest) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrQuery}, args...)...))
	}
	if len(r.Fields) == 0 {
		bad("no field to count by, want some of %v", FacetFields())
	}
	for i, f := range r.Fields {
		if !slices.Contains(FacetFields(), f) {
			bad("no field %q to count by, want one of %v", f, FacetFields())
		}
		if slices.Contains(r.Fields[:i], f) {
			bad("field %q is asked for twice", f)
		}
	}
	if r.Size < 1 || r.Size > MaxFacetSize {
		bad("facet size is %d, want 1 to %d", r.Size, MaxFacetSize)
	}
	if n := utf8.RuneCountInString(r.Prefix); n > MaxFacetPrefix {
		bad("facet prefix has %d characters, want at most %d", n, MaxFacetPrefix)
	}
	return errors.Join(errs...)
}

// NewFacet makes the facet of a field from the counts of all its values, in their canonical form.
func NewFacet(f Field, counts map[string]int64, size int) Facet {
	facet := Facet{Field: f, Exact: true}
	for v, n := range counts {
		facet.Values = append(facet.Values, FacetValue{v, n})
	}
	slices.SortFunc(facet.Values, func(a, b FacetValue) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	if len(facet.Values) > size {
		for _, v := range facet.Values[size:] {
			facet.Others += v.Count
		}
		facet.Values = facet.Values[:size:size]
	}
	return facet
}
