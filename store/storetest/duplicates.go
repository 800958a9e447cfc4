package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// testDuplicates checks that a log_id is stored once, whatever comes again.
func testDuplicates(t *testing.T, b *bench) {
	wantStatus := func(got []store.Result, want ...store.Status) {
		t.Helper()
		var have []store.Status
		for i, r := range got {
			have = append(have, r.Status)
			if good := r.Status == store.Stored || r.Status == store.Duplicate; good != (r.Err == nil) {
				t.Errorf("result %d: %s with error %v", i, r.Status, r.Err)
			}
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
	}
	records := corpus()[:6]
	for i := range records {
		hash, err := event.ContentHash(records[i])
		if err != nil {
			t.Fatal(err)
		}
		records[i].RecordHash = hash
	}
	doc := func(r event.Record) store.Doc { return store.Doc{Record: r, Encoded: encode(t, r)} }

	wantStatus(b.put(t, doc(records[0]), doc(records[1])), store.Stored, store.Stored)
	// The whole batch again, as after a lost answer.
	wantStatus(b.put(t, doc(records[0]), doc(records[1])), store.Duplicate, store.Duplicate)
	// New ones among them, and one twice in a batch.
	wantStatus(b.put(t, doc(records[0]), doc(records[2]), doc(records[2]), doc(records[1]), doc(records[3])),
		store.Duplicate, store.Stored, store.Duplicate, store.Duplicate, store.Stored)

	// What was added on the way makes no other content.
	again := records[0]
	again.Stream, again.StreamOffset, again.ProducerID, again.Seq = "other", 99, "p2", 7
	wantStatus(b.put(t, doc(again)), store.Duplicate)

	// Other content under the same id: the first one stays.
	forged := records[1]
	forged.ObjectRepr, forged.UserID = "forged", "forger"
	hash, err := event.ContentHash(forged)
	if err != nil {
		t.Fatal(err)
	}
	forged.RecordHash = hash
	wantStatus(b.put(t, doc(records[4]), doc(forged), doc(records[5])), store.Stored, store.Conflict, store.Stored)
	if diff := cmp.Diff(string(encode(t, records[1])), string(encode(t, b.get(t, forged.LogID)))); diff != "" {
		t.Errorf("the first record did not stay (-want +got):\n%s", diff)
	}
	b.wantIDs(t, store.Query{Filters: []store.Filter{{Field: store.FieldUserID, Values: []string{"forger"}}}})
	b.wantIDs(t, store.Query{Text: "forged"})

	page := b.search(t, store.Query{Size: 100})
	if len(page.Records) != len(records) || int(page.Total) != len(records) {
		t.Errorf("%d records (total %d), want each of %d once", len(page.Records), page.Total, len(records))
	}
}
