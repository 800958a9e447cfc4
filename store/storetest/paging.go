package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// testPaging walks through pages by position.
func testPaging(t *testing.T, b *bench) {
	// 65 records in the last millisecond of a month and 65 in the first of the next; within each, times
	// below a millisecond are against the order of the ids, and do not count.
	end := time.Date(2026, 2, 28, 23, 59, 59, 999_000_000, time.UTC)
	var records []event.Record
	for i := range 130 {
		r := plainRecord((i*37)%130, end.Add(time.Duration(i%2)*time.Millisecond))
		r.Timestamp = r.Timestamp.Add(time.Duration(130-(i*37)%130) * time.Microsecond)
		r.TenantID, r.ObjectRepr = "paged", "walk this way"
		records = append(records, r)
	}
	b.write(t, docs(t, records)...)
	mine := []store.Filter{{Field: store.FieldTenantID, Values: []string{"paged"}}}

	late := 1000
	for _, ascending := range []bool{false, true} {
		for _, text := range []string{"", "walk"} {
			for _, size := range []int{1, 7, 64, 65, 130} {
				if size == 1 && text != "" {
					continue // nothing new, and 130 searches
				}
				name := fmt.Sprintf("ascending %v, text %q, size %d", ascending, text, size)
				q := store.Query{Filters: mine, Ascending: ascending, Text: text, Size: size}
				want := ids(oracle(t, records, store.Query{Filters: mine, Ascending: ascending, Size: store.MaxSize}).Records)
				var got []string
				for page := 0; ; page++ {
					p := b.search(t, q)
					got = append(got, ids(p.Records)...)
					if len(p.Records) == 0 || len(got) > len(want) {
						break
					}
					if wantMore := len(got) < len(want); p.HasMore != wantMore {
						t.Errorf("%s, page %d: HasMore is %v, want %v", name, page, p.HasMore, wantMore)
					}
					after := store.PositionOf(p.Records[len(p.Records)-1])
					q.After = &after
					// What is inserted before the position, and what does not match, moves nothing.
					if page == 1 && size == 7 {
						newer := plainRecord(late, end.Add(time.Hour))
						if ascending {
							newer.Timestamp = end.Add(-time.Hour)
						}
						late++
						newer.TenantID, newer.ObjectRepr = "other", "walk"
						b.write(t, store.Doc{Record: newer})
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
	}

	t.Run("stable under inserts", func(t *testing.T) { testInserts(t, b, records, mine, end) })
}

// testInserts inserts matching records on both sides of the position between two pages.
func testInserts(t *testing.T, b *bench, records []event.Record, mine []store.Filter, end time.Time) {
	first := b.search(t, store.Query{Filters: mine, Size: 50})
	newer, between := plainRecord(5000, end.Add(time.Minute)), plainRecord(5001, end.Add(-time.Minute))
	newer.TenantID, between.TenantID = "paged", "paged"
	b.write(t, store.Doc{Record: newer}, store.Doc{Record: between})
	after := store.PositionOf(first.Records[49])
	rest := b.search(t, store.Query{Filters: mine, Size: 500, After: &after})
	got := append(ids(first.Records), ids(rest.Records)...)
	want := ids(oracle(t, append(slices.Clone(records), between), store.Query{Filters: mine, Size: 500}).Records)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages around inserts (-want +got):\n%s", diff)
	}
	if int(rest.Total) != len(records)+2 {
		t.Errorf("total is %d, want %d", rest.Total, len(records)+2)
	}
	// A position need not be that of a record.
	nowhere := store.Position{Timestamp: end.Add(-time.Second), LogID: "zzz"}
	b.wantIDs(t, store.Query{Filters: mine, After: &nowhere}, between.LogID)
	beyond := store.Position{Timestamp: end.Add(24 * time.Hour), LogID: "a"}
	b.wantIDs(t, store.Query{Filters: mine, Size: 1, After: &beyond}, newer.LogID)
	b.wantIDs(t, store.Query{Filters: mine, Ascending: true, After: &beyond})
}
