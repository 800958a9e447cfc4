package storetest

import (
	"math"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// oracle gives what a store of records must answer to a valid query, with the exact total.
func oracle(t *testing.T, records []event.Record, q store.Query) store.Page {
	t.Helper()
	q.TotalLimit = math.MaxInt
	page, err := NewMemory(records...).Search(t.Context(), q)
	if err != nil {
		t.Fatalf("the oracle's search %+v: %v", q, err)
	}
	return page
}
