package oracle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/oracle"
)

// TestDelivery_catchesEveryFault: a delivery that does one thing wrong is found out.
func TestDelivery_catchesEveryFault(t *testing.T) {
	t.Parallel()
	const n = 40
	record := func(i int) event.Record {
		return event.Record{
			LogID: fmt.Sprintf("id-%02d", i), Timestamp: time.Unix(1e9, 0), Action: event.ActionAdd,
			ObjectType: "customer", ObjectID: fmt.Sprint(i % 4), ProducerID: "p", Seq: uint64(i),
		}
	}
	promisedOnly := func(all []event.Record) []event.Record { // without the rolled back and the unknown
		return slices.DeleteFunc(all, func(r event.Record) bool { return r.Seq == 7 || r.Seq == 8 })
	}
	for name, c := range map[string]struct {
		change func(a *oracle.Arrivals)
		want   string // kinds, "" for nothing wrong
	}{
		"all right":       {func(*oracle.Arrivals) {}, ""},
		"unknown arrived": {func(a *oracle.Arrivals) { a.Records = slices.Insert(a.Records, 6, record(8)) }, ""},
		"lost":            {func(a *oracle.Arrivals) { a.Records = slices.Delete(a.Records, 3, 4) }, "lost"},
		"all lost":        {func(a *oracle.Arrivals) { a.Records = nil }, "lost"},
		"dead letter": {func(a *oracle.Arrivals) {
			a.DeadLettered = []string{a.Records[3].LogID}
			a.Records = slices.Delete(a.Records, 3, 4)
		}, ""},
		"in a gap record": {func(a *oracle.Arrivals) {
			a.Missing = []string{a.Records[3].LogID}
			a.Records = slices.Delete(a.Records, 3, 4)
		}, ""},
		"invented":    {func(a *oracle.Arrivals) { a.Records = append(a.Records, record(n+1)) }, "invented"},
		"rolled back": {func(a *oracle.Arrivals) { a.Records = slices.Insert(a.Records, 6, record(7)) }, "phantom"},
		"twice":       {func(a *oracle.Arrivals) { a.Records = append(a.Records, a.Records[5]) }, "double"},
		"altered":     {func(a *oracle.Arrivals) { a.Records[5].Username = "mallory" }, "content"},
		"one object":  {func(a *oracle.Arrivals) { a.Records[0], a.Records[4] = a.Records[4], a.Records[0] }, "object order, sequence order"},
		"two objects": {func(a *oracle.Arrivals) { a.Records[0], a.Records[1] = a.Records[1], a.Records[0] }, "sequence order"},
		"of two parts": {func(a *oracle.Arrivals) {
			a.Records[0], a.Records[1] = a.Records[1], a.Records[0]
			a.Partitioned = true
		}, ""},
		"same number": {func(a *oracle.Arrivals) { a.Records[1].Seq = 1 }, "sequence order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var book oracle.Delivery
			var all []event.Record
			for i := 1; i <= n; i++ {
				r := record(i)
				if err := book.Issue(r); err != nil {
					t.Fatal(err)
				}
				switch i {
				case 7:
					book.Tell(oracle.Forbidden, r.LogID)
				case 8: // nobody knows
				default:
					book.Tell(oracle.Promised, r.LogID)
				}
				all = append(all, r)
			}
			got := oracle.Arrivals{Records: promisedOnly(all)}
			c.change(&got)
			var kinds []string
			for _, err := range book.Check(got) {
				kind, _, _ := strings.Cut(err.Error(), ":")
				kinds = append(kinds, kind)
			}
			slices.Sort(kinds)
			if found := strings.Join(slices.Compact(kinds), ", "); found != c.want {
				t.Errorf("found %q, want %q", found, c.want)
			}
			if book.Promised() != n-2 {
				t.Errorf("%d promised, want %d", book.Promised(), n-2)
			}
		})
	}
}
