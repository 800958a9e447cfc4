package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func testEmpty(t *testing.T, b *bench) {
	for _, q := range []store.Query{
		{},
		{Text: "nobody"},
		{Text: "%"},
		{From: start, To: start.Add(time.Hour)},
		{Filters: []store.Filter{{Field: store.FieldUserID, Values: []string{"7"}}}},
		{After: &store.Position{Timestamp: start, LogID: "x"}},
		{Offset: 100},
	} {
		if page := b.search(t, q); len(page.Records) != 0 || page.Total != 0 || !page.TotalExact || page.HasMore {
			t.Errorf("search %+v in an empty store: %+v, want an exact 0", q, page)
		}
	}
	b.wantNotFound(t, id(1))
	if results := b.put(t); len(results) != 0 {
		t.Errorf("%d results of no documents", len(results))
	}
	testBadQueries(t, b)
}

func testBadQueries(t *testing.T, b *bench) {
	user := store.Filter{Field: store.FieldUserID, Values: []string{"7"}}
	for name, q := range map[string]store.Query{
		"window":       {Offset: store.MaxWindow - 10, Size: 11},
		"offset":       {Offset: -1},
		"size":         {Size: store.MaxSize + 1},
		"negative":     {Size: -1},
		"both":         {Offset: 1, After: &store.Position{Timestamp: start, LogID: "x"}},
		"position":     {After: &store.Position{LogID: "x"}},
		"field":        {Filters: []store.Filter{user, {Field: "body", Values: []string{"x"}}}},
		"sql":          {Filters: []store.Filter{{Field: "user_id) OR (1=1", Values: []string{"x"}}}},
		"no values":    {Filters: []store.Filter{{Field: store.FieldUserID}}},
		"many values":  {Filters: []store.Filter{{Field: store.FieldUserID, Values: make([]string, store.MaxValues+1)}}},
		"text too big": {Text: strings.Repeat("ü", store.MaxTextLength+1)},
	} {
		if _, err := b.Store.Search(t.Context(), q); !errors.Is(err, store.ErrQuery) {
			t.Errorf("%s: error %v, want ErrQuery", name, err)
		}
	}
	if _, err := b.Store.Get(t.Context(), "x", store.Filter{Field: "body", Values: []string{"x"}}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("get with an unknown field: error %v, want ErrQuery", err)
	}
	if page := b.search(t, store.Query{Offset: store.MaxWindow - 10, Size: 10}); len(page.Records) != 0 {
		t.Errorf("the last window has %d records of an empty store", len(page.Records))
	}
}

func testQuery(t *testing.T, b *bench) {
	records := corpus()
	b.write(t, docs(t, records)...)

	check := func(t *testing.T, q store.Query) store.Page {
		t.Helper()
		want, page := oracle(t, records, q), b.search(t, q)
		if diff := cmp.Diff(ids(want.Records), ids(page.Records)); diff != "" {
			t.Errorf("search %s (-want +got):\n%s", show(q), diff)
		}
		if page.HasMore != want.HasMore {
			t.Errorf("search %s: HasMore is %v, want %v", show(q), page.HasMore, want.HasMore)
		}
		if page.Total != want.Total || !page.TotalExact {
			t.Errorf("search %s: total %d (exact: %v), want exactly %d", show(q), page.Total, page.TotalExact, want.Total)
		}
		return want
	}

	t.Run("defaults", func(t *testing.T) {
		t.Parallel()
		if want := check(t, store.Query{}); len(want.Records) != store.DefaultSize {
			t.Errorf("%d records, want %d", len(want.Records), store.DefaultSize)
		}
		check(t, store.Query{Ascending: true})
		check(t, store.Query{Size: store.MaxSize})
	})
	for _, field := range store.Fields() {
		t.Run("filter "+string(field), func(t *testing.T) {
			t.Parallel()
			testFilter(t, records, field, check)
		})
	}
	t.Run("range is half open", func(t *testing.T) {
		t.Parallel()
		for _, r := range records[:10] {
			at := r.Timestamp
			if want := check(t, store.Query{From: at, To: at.Add(time.Millisecond), Size: 100}); want.Total == 0 {
				t.Errorf("the corpus has no record at %s", at)
			}
			check(t, store.Query{From: at, Size: 100})
			check(t, store.Query{To: at, Size: 100})
			check(t, store.Query{From: at.Add(time.Millisecond), To: at.Add(time.Hour), Size: 100})
			if want := check(t, store.Query{From: at, To: at}); want.Total != 0 {
				t.Errorf("an empty range has %d records", want.Total)
			}
			check(t, store.Query{From: at.Add(time.Hour), To: at})
			// Zones do not matter.
			check(t, store.Query{From: at.In(time.FixedZone("x", 7*3600)), To: at.Add(time.Minute).In(time.FixedZone("y", -9*3600))})
		}
	})
	t.Run("offset and size", func(t *testing.T) {
		t.Parallel()
		all := len(records)
		for _, offset := range []int{0, 1, 20, all - 1, all, all + 1, 9000} {
			for _, size := range []int{1, 20, all - 1, all, all + 1, 1000} {
				check(t, store.Query{Offset: offset, Size: size})
			}
		}
	})
	t.Run("total", func(t *testing.T) {
		t.Parallel()
		testTotal(t, b, len(records))
	})
	t.Run("get", func(t *testing.T) {
		t.Parallel()
		testGet(t, b, records)
	})
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		rng := rand.New(rand.NewPCG(1, 2))
		for range 80 {
			check(t, randomQuery(rng, records))
		}
	})
}

func show(q store.Query) string {
	s := fmt.Sprintf("%+v", q)
	if q.After != nil {
		s += fmt.Sprintf(" after %+v", *q.After)
	}
	return s
}

// testFilter tries every value that the field has, and the way in which it is compared.
func testFilter(t *testing.T, records []event.Record, field store.Field, check func(*testing.T, store.Query) store.Page) {
	var values []string
	for _, r := range records {
		for _, v := range valuesOf(r, field) {
			if v != "" && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
	}
	if len(values) < 2 {
		t.Fatalf("the corpus has the values %q only", values)
	}
	if len(values) > 5 {
		values = values[:5]
	}
	query := func(not bool, values ...string) store.Query {
		return store.Query{Filters: []store.Filter{{Field: field, Values: values, Not: not}}, Size: 500}
	}
	for _, v := range values {
		if want := check(t, query(false, v)); want.Total == 0 || want.Total == int64(len(records)) {
			t.Errorf("%q finds %d of %d records: that shows nothing", v, want.Total, len(records))
		}
		check(t, query(true, v))
		// Found whatever their case if the field folds, else not.
		check(t, query(false, strings.ToUpper(v)))
		check(t, query(false, strings.ToLower(v)))
		if field.Folds() {
			check(t, query(false, norm.NFD.String(v)))
			check(t, query(false, store.Fold(v)))
		}
		// No part is enough, and nothing in it is a pattern.
		if field != store.FieldIPAddress {
			check(t, query(false, v[:len(v)-1]+"*"))
			check(t, query(false, "%"+v[1:]))
			check(t, query(false, v+" "))
		}
	}
	check(t, query(false, values...))
	check(t, query(true, values...))
	check(t, query(false, values[0], values[1]))
	check(t, query(true, values[0], values[1]))
	if field == store.FieldIPAddress {
		return
	}
	for _, hostile := range []string{"missing", "' OR '1'='1", `\`, `"`, "\x00", "\xff\xfe", "*", "%", "_", strings.Repeat("x", 40_000)} {
		if want := check(t, query(false, hostile)); want.Total != 0 {
			t.Errorf("the corpus has the value %q", hostile)
		}
		check(t, query(true, hostile, values[0]))
	}
	if page := check(t, query(false, "")); page.Total != 0 {
		t.Errorf("the empty value finds %d records, want none: a field that is missing has no value", page.Total)
	}
}

func testTotal(t *testing.T, b *bench, all int) {
	for _, tt := range []struct {
		limit, size int
		total       int
		exact       bool
	}{
		{all + 1, 5, all, true},
		{all, 5, all, true},
		{all - 1, 5, all - 1, false},
		{10, 5, 10, false},
		{10, 500, 10, false},
		{1, 500, 1, false},
		{0, 5, all, true},
		{-1, 5, 0, false},
	} {
		for _, text := range []string{"", "object"} {
			page := b.search(t, store.Query{Text: text, TotalLimit: tt.limit, Size: tt.size})
			if int(page.Total) != tt.total || page.TotalExact != tt.exact {
				t.Errorf("text %q, limit %d, size %d: total %d (exact: %v), want %d (%v)", text, tt.limit, tt.size, page.Total, page.TotalExact, tt.total, tt.exact)
			}
			if want := min(tt.size, all); len(page.Records) != want || page.HasMore != (all > tt.size) {
				t.Errorf("text %q, limit %d, size %d: %d records (more: %v), want %d", text, tt.limit, tt.size, len(page.Records), page.HasMore, want)
			}
		}
	}
	// The total does not depend on the page.
	page := b.search(t, store.Query{Size: 5, Ascending: true})
	after := store.PositionOf(page.Records[4])
	if next := b.search(t, store.Query{Size: 5, Ascending: true, After: &after}); int(next.Total) != all || !next.TotalExact {
		t.Errorf("total of the second page is %d (exact: %v), want %d", next.Total, next.TotalExact, all)
	}
	last := b.search(t, store.Query{Size: 1, Offset: all - 1})
	if int(last.Total) != all || last.HasMore {
		t.Errorf("total of the last page is %d (more: %v), want %d", last.Total, last.HasMore, all)
	}
}

func testGet(t *testing.T, b *bench, records []event.Record) {
	for _, r := range records[:20] {
		got := b.get(t, r.LogID)
		if diff := cmp.Diff(string(encode(t, r)), string(encode(t, got))); diff != "" {
			t.Errorf("get %q (-want +got):\n%s", r.LogID, diff)
		}
		tenant := store.Filter{Field: store.FieldTenantID, Values: []string{"a"}}
		action := store.Filter{Field: store.FieldAction, Values: []string{string(r.Action)}}
		if r.TenantID == "a" {
			b.get(t, r.LogID, tenant, action)
			action.Not = true
			b.wantNotFound(t, r.LogID, tenant, action)
		} else {
			b.wantNotFound(t, r.LogID, tenant)
			b.wantNotFound(t, r.LogID, tenant, action)
		}
	}
	for _, missing := range []string{"", "x", id(999_999), strings.ToUpper(id(1)), "\x00", "\xff", "' OR 1=1 --", "../../x", strings.Repeat("x", 600)} {
		b.wantNotFound(t, missing)
	}
}

// randomQuery gives a valid query of all kinds.
func randomQuery(rng *rand.Rand, records []event.Record) store.Query {
	q := store.Query{Size: 1 + rng.IntN(40), Ascending: rng.IntN(2) == 0}
	fields := store.Fields()
	for range rng.IntN(4) {
		f := store.Filter{Field: fields[rng.IntN(len(fields))], Not: rng.IntN(3) == 0}
		for range 1 + rng.IntN(3) {
			for _, v := range valuesOf(records[rng.IntN(len(records))], f.Field) {
				if v != "" {
					f.Values = append(f.Values, v)
				}
			}
		}
		if len(f.Values) > 0 {
			q.Filters = append(q.Filters, f)
		}
	}
	at := func() time.Time { return start.Add(time.Duration(rng.IntN(130)) * time.Minute) }
	if rng.IntN(3) == 0 {
		q.From = at()
	}
	if rng.IntN(3) == 0 {
		q.To = at()
	}
	switch rng.IntN(3) {
	case 0:
		p := store.PositionOf(records[rng.IntN(len(records))])
		q.After = &p
	case 1:
		q.Offset = rng.IntN(50)
	}
	if rng.IntN(2) == 0 {
		q.Text = []string{"nguyen", "john.doe", "order", `"big customer"`, "091", "pend*", "so 5", "created object", "%"}[rng.IntN(9)]
	}
	return q
}
