package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// testCounts compares counts, facets, histograms and searches for changes with the oracle, and with each other.
func testCounts(t *testing.T, b *bench) {
	testEmptyCounts(t, b)
	records := corpus()
	for i := range records {
		if i%9 == 0 {
			records[i].Extra = map[string]any{"import": map[string]any{"file": fmt.Sprintf("f%d.xlsx", i%2)}, "checked": true}
		}
	}
	b.write(t, docs(t, records)...)
	oracle := NewMemory(records...)

	rng := rand.New(rand.NewPCG(3, 5))
	queries := []store.Query{
		{},
		{Text: "customer"},
		{Text: "%"},
		{Text: " "},
		{From: start, To: start},
		{Filters: []store.Filter{{Field: store.FieldUsername, Values: []string{"nguyen"}}}},
		{Filters: changeFilters()[1:2], Text: "customer"},
	}
	for _, f := range changeFilters() {
		not := f
		not.Not = true
		user := store.Filter{Field: store.FieldUserID, Values: []string{"7", "42"}}
		queries = append(queries, store.Query{Filters: []store.Filter{f}}, store.Query{Filters: []store.Filter{not}}, store.Query{Filters: []store.Filter{user, f}})
	}
	for range 12 {
		queries = append(queries, randomQuery(rng, records))
	}
	for _, q := range queries {
		q.After, q.Offset, q.Size, q.TotalLimit = nil, 0, 0, 0
		checkSearch(t, b, oracle, q)
		total := checkCount(t, b, oracle, q)
		checkFacets(t, b, oracle, q, total)
		checkHistogram(t, b, oracle, q, total)
		checkNarrower(t, b, q, total, records[rng.IntN(len(records))])
	}
	t.Run("get by change", func(t *testing.T) {
		changed := changeFilters()[0]
		not := changed
		not.Not = true
		for _, r := range records[:20] {
			if changed.Matches(r) {
				b.get(t, r.LogID, changed)
				b.wantNotFound(t, r.LogID, not)
			} else {
				b.get(t, r.LogID, not)
				b.wantNotFound(t, r.LogID, changed)
			}
		}
	})
	t.Run("prefix and size", func(t *testing.T) { testFacetPrefix(t, b, oracle) })
	t.Run("zones", func(t *testing.T) { testZones(t, b, oracle) })
	t.Run("users", func(t *testing.T) { testUsers(t, b, oracle) })
	t.Run("bad requests", func(t *testing.T) { testBadCounts(t, b) })
}

// changeFilters ask who changed what from what to what.
func changeFilters() []store.Filter {
	text := func(s string) *string { return &s }
	return []store.Filter{
		store.Changed("status", nil, nil),
		store.Changed("status", text("PENDING"), nil),
		store.Changed("status", nil, text("APPROVED")),
		store.Changed("phone_number", text("null"), text("+84 90 123")),
		store.Changed("status", text("APPROVED"), text("PENDING")),
		store.Changed("status", text("pending"), nil),
		store.Extra("import.file", "f0.xlsx", "none"),
		store.Extra("checked", "true"),
	}
}

func testEmptyCounts(t *testing.T, b *bench) {
	if n, err := b.Store.Count(t.Context(), store.Query{}); err != nil || n != (store.Total{Exact: true}) {
		t.Errorf("count in an empty store: %+v, %v", n, err)
	}
	facets, err := b.Store.Facets(t.Context(), store.Query{}, store.FacetRequest{Fields: store.FacetFields()})
	if err != nil || len(facets) != len(store.FacetFields()) {
		t.Errorf("facets in an empty store: %+v, %v", facets, err)
	}
	for _, f := range facets {
		if len(f.Values) != 0 || f.Others != 0 || f.Without != 0 || !f.Exact {
			t.Errorf("facet in an empty store: %+v", f)
		}
	}
	if h, err := b.Store.Histogram(t.Context(), store.Query{}, store.HistogramRequest{}); err != nil || len(h.Buckets) != 0 {
		t.Errorf("histogram in an empty store: %+v, %v", h, err)
	}
	h, err := b.Store.Histogram(t.Context(), store.Query{From: start, To: start.Add(3 * time.Hour)}, store.HistogramRequest{Interval: store.Hour})
	if err != nil || len(h.Buckets) != 3 || h.Buckets[1].Count != 0 {
		t.Errorf("histogram of three hours in an empty store: %+v, %v", h, err)
	}
}

// checkSearch compares a page, and goes through the pages in both directions.
func checkSearch(t *testing.T, b *bench, oracle *Memory, q store.Query) {
	t.Helper()
	q.Size = store.MaxSize
	want, err := oracle.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids(want.Records), ids(b.search(t, q).Records)); diff != "" {
		t.Errorf("search %s (-want +got):\n%s", show(q), diff)
	}
	q.Size = 31
	walk := func(q store.Query) (all []string) {
		for {
			page := b.search(t, q)
			all = append(all, ids(page.Records)...)
			if !page.HasMore {
				return all
			}
			after := store.PositionOf(page.Records[len(page.Records)-1])
			q.After = &after
		}
	}
	forward := walk(q)
	q.Ascending = !q.Ascending
	backward := walk(q)
	slices.Reverse(backward)
	if diff := cmp.Diff(forward, backward); diff != "" {
		t.Errorf("search %s, forward and backward (-forward +backward):\n%s", show(q), diff)
	}
}

func checkCount(t *testing.T, b *bench, oracle *Memory, q store.Query) store.Total {
	t.Helper()
	var total store.Total
	for _, limit := range []int{0, -1, 3, 1} {
		q.TotalLimit = limit
		want, _ := oracle.Count(t.Context(), q)
		got, err := b.Store.Count(t.Context(), q)
		if err != nil || got != want {
			t.Errorf("count %s: %+v, %v, want %+v", show(q), got, err, want)
		}
		if limit == 0 {
			total = got
		}
	}
	return total
}

func checkFacets(t *testing.T, b *bench, oracle *Memory, q store.Query, total store.Total) {
	t.Helper()
	r := store.FacetRequest{Fields: store.FacetFields(), Size: 100}
	want, err := oracle.Facets(t.Context(), q, r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.Facets(t.Context(), q, r)
	if err != nil {
		t.Fatalf("facets %s: %v", show(q), err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("facets %s (-want +got):\n%s", show(q), diff)
	}
	for _, f := range got {
		sum := f.Others + f.Without
		for _, v := range f.Values {
			sum += v.Count
		}
		if sum != total.Count && f.Field != store.FieldChangedField {
			t.Errorf("facet %s of %s: the sum is %d, want the %d records", f.Field, show(q), sum, total.Count)
		}
	}
}

func checkHistogram(t *testing.T, b *bench, oracle *Memory, q store.Query, total store.Total) {
	t.Helper()
	for _, r := range []store.HistogramRequest{{}, {Interval: store.Hour, By: store.FieldAction}, {Interval: store.Month, By: store.FieldObjectType}} {
		want, err := oracle.Histogram(t.Context(), q, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Store.Histogram(t.Context(), q, r)
		if err != nil {
			t.Fatalf("histogram %s: %v", show(q), err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("histogram %+v of %s (-want +got):\n%s", r, show(q), diff)
		}
		var sum int64
		for _, bucket := range got.Buckets {
			sum += bucket.Count
		}
		if sum != total.Count {
			t.Errorf("histogram %+v of %s: the sum is %d, want the %d records", r, show(q), sum, total.Count)
		}
	}
}

// checkNarrower adds a filter, which must never add a record.
func checkNarrower(t *testing.T, b *bench, q store.Query, total store.Total, r event.Record) {
	t.Helper()
	narrower := q
	narrower.Filters = append(slices.Clone(q.Filters), store.Filter{Field: store.FieldAction, Values: []string{string(r.Action)}})
	q.Size, narrower.Size = store.MaxSize, store.MaxSize
	all := ids(b.search(t, q).Records)
	for _, id := range ids(b.search(t, narrower).Records) {
		if !slices.Contains(all, id) {
			t.Errorf("search %s finds %s, and without the last filter not", show(narrower), id)
		}
	}
	if n, err := b.Store.Count(t.Context(), narrower); err != nil || n.Count > total.Count {
		t.Errorf("count %s: %d (%v), and without the last filter %d", show(narrower), n.Count, err, total.Count)
	}
}

func testFacetPrefix(t *testing.T, b *bench, oracle *Memory) {
	for _, r := range []store.FacetRequest{
		{Size: 1},
		{Size: 2},
		{Prefix: "C"},
		{Prefix: "nguy"},
		{Prefix: "NGUYỄN"},
		{Prefix: "4"},
		{Prefix: "192."},
		{Prefix: "2001:"},
		{Prefix: "i"},
		{Prefix: ".*"},
		{Prefix: "user:"},
		{Prefix: "("},
		{Prefix: "no value begins so"},
	} {
		r.Fields = store.FacetFields()
		want, err := oracle.Facets(t.Context(), store.Query{}, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Store.Facets(t.Context(), store.Query{}, r)
		if err != nil {
			t.Fatalf("facets %+v: %v", r, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("facets %+v (-want +got):\n%s", r, diff)
		}
	}
	// A bound on what is read gives counts that are too low at most, and says so.
	r := store.FacetRequest{Fields: []store.Field{store.FieldObjectType, store.FieldUsername}, Limit: 10, Size: 100}
	exact, _ := oracle.Facets(t.Context(), store.Query{}, r)
	got, err := b.Store.Facets(t.Context(), store.Query{}, r)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range got {
		if f.Exact {
			if diff := cmp.Diff(exact[i], f); diff != "" {
				t.Errorf("facet that is said to be exact (-want +got):\n%s", diff)
			}
			continue
		}
		for _, v := range f.Values {
			for _, w := range exact[i].Values {
				if w.Value == v.Value && v.Count > w.Count {
					t.Errorf("facet %s: %q has %d, want at most %d", f.Field, v.Value, v.Count, w.Count)
				}
			}
		}
	}
	// A filter by a value finds as many as were counted.
	for _, f := range exact {
		for _, v := range f.Values {
			n, err := b.Store.Count(t.Context(), store.Query{Filters: []store.Filter{{Field: f.Field, Values: []string{v.Value}}}})
			if err != nil || n.Count != v.Count {
				t.Errorf("%s %q: %d records (%v), the facet says %d", f.Field, v.Value, n.Count, err, v.Count)
			}
		}
	}
}

func testZones(t *testing.T, b *bench, oracle *Memory) {
	for _, zone := range []string{"Asia/Ho_Chi_Minh", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range store.Intervals() {
			r := store.HistogramRequest{Interval: interval, Location: loc}
			// The corpus has two hours, of which minutes fit into the buckets.
			want, err := oracle.Histogram(t.Context(), store.Query{}, r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := b.Store.Histogram(t.Context(), store.Query{}, r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("histogram by %s in %s (-want +got):\n%s", interval, zone, diff)
			}
		}
	}
}

func testUsers(t *testing.T, b *bench, oracle *Memory) {
	for _, q := range []store.Query{{}, {Text: "customer"}, {From: start.Add(time.Hour)}, {Text: "nobody"}} {
		want, wantFacet, err := store.Users(t.Context(), oracle, q, 3)
		if err != nil {
			t.Fatal(err)
		}
		got, facet, err := store.Users(t.Context(), b.Store, q, 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantFacet, facet, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("users %s (-want +got):\n%s", show(q), diff)
		}
		if len(got) != len(want) {
			t.Fatalf("users %s: %d, want %d", show(q), len(got), len(want))
		}
		for i := range want {
			if got[i].UserID != want[i].UserID || got[i].Count != want[i].Count || !got[i].First.Equal(want[i].First) || !got[i].Last.Equal(want[i].Last) || got[i].Newest.LogID != want[i].Newest.LogID {
				t.Errorf("users %s: %+v, want %+v", show(q), got[i], want[i])
			}
		}
	}
}

func testBadCounts(t *testing.T, b *bench) {
	bad := store.Query{Filters: []store.Filter{{Field: "body", Values: []string{"x"}}}}
	action := store.FacetRequest{Fields: []store.Field{store.FieldAction}}
	_, count := b.Store.Count(t.Context(), bad)
	_, facetQuery := b.Store.Facets(t.Context(), bad, action)
	_, facetField := b.Store.Facets(t.Context(), store.Query{}, store.FacetRequest{Fields: []store.Field{"body"}})
	_, histogramQuery := b.Store.Histogram(t.Context(), bad, store.HistogramRequest{})
	_, interval := b.Store.Histogram(t.Context(), store.Query{}, store.HistogramRequest{Interval: "fortnight"})
	_, many := b.Store.Histogram(t.Context(), store.Query{From: start, To: start.AddDate(0, 0, 3)}, store.HistogramRequest{Interval: store.Minute})
	_, changes := b.Store.Changes(t.Context(), store.ChangesRequest{Query: bad})
	_, size := b.Store.Changes(t.Context(), store.ChangesRequest{Size: store.MaxSize + 1})
	for name, err := range map[string]error{
		"count": count, "facets, query": facetQuery, "facets, field": facetField, "histogram, query": histogramQuery, "histogram, interval": interval,
		"histogram, buckets": many, "changes, query": changes, "changes, size": size,
	} {
		if !errors.Is(err, store.ErrQuery) {
			t.Errorf("%s: error %v, want ErrQuery", name, err)
		}
	}
	for _, checkpoint := range []string{"x", "999999999", "..", "zzzzzzzzzzzzzzzzz.1.", "-1.1.x", "os1;a", "os1;a/b:1"} {
		if _, err := b.Store.Changes(t.Context(), store.ChangesRequest{After: checkpoint}); !errors.Is(err, store.ErrCheckpoint) {
			t.Errorf("checkpoint %q: error %v, want ErrCheckpoint", checkpoint, err)
		}
	}
}
