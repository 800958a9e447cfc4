package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Store is all that a store can do.
type Store interface {
	store.Searcher
	store.Writer
	store.Counter
	store.Faceter
	store.Histogrammer
	store.Feed
}

// Harness is a store under test. Each one that is asked for must be empty.
type Harness struct {
	Store Store
	// Refresh makes what was written visible to searches. It may be nil if it is at once.
	Refresh func(ctx context.Context) error
}

// Run runs the suite. It calls open for each group of tests, up to twelve times, at the same time from
// several goroutines; open cleans up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	groups := []struct {
		name string
		test func(t *testing.T, b *bench)
	}{
		{"empty", testEmpty},
		{"query", testQuery},
		{"text", testText},
		{"content", testContent},
		{"duplicates", testDuplicates},
		{"paging", testPaging},
		{"concurrent", testConcurrent},
		{"counts", testCounts},
		{"feed", testFeed},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			g.test(t, &bench{Harness: open(t)})
		})
	}
}

// bench is a harness with what the tests do with it.
type bench struct {
	Harness
}

// write stores docs, which must all be new, and makes them visible.
func (b *bench) write(t *testing.T, docs ...store.Doc) {
	t.Helper()
	for part := range slices.Chunk(docs, 500) {
		for i, r := range b.put(t, part...) {
			if r.Status != store.Stored || r.Err != nil {
				t.Fatalf("document %q: %s (%v), want stored", part[i].Record.LogID, r.Status, r.Err)
			}
		}
	}
}

// put stores docs and makes them visible.
func (b *bench) put(t *testing.T, docs ...store.Doc) []store.Result {
	t.Helper()
	results, err := b.Store.Write(t.Context(), docs)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	if len(results) != len(docs) {
		t.Fatalf("%d results of %d documents", len(results), len(docs))
	}
	b.refresh(t)
	return results
}

func (b *bench) refresh(t *testing.T) {
	t.Helper()
	if b.Refresh == nil {
		return
	}
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatalf("refresh: %v", err)
	}
}

func (b *bench) search(t *testing.T, q store.Query) store.Page {
	t.Helper()
	page, err := b.Store.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("search %+v: %v", q, err)
	}
	return page
}

func (b *bench) get(t *testing.T, logID string, filters ...store.Filter) event.Record {
	t.Helper()
	r, err := b.Store.Get(t.Context(), logID, filters...)
	if err != nil {
		t.Fatalf("get %q: %v", logID, err)
	}
	return r
}

// wantIDs fails the test unless the query finds exactly the ids, in this order.
func (b *bench) wantIDs(t *testing.T, q store.Query, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ids(b.search(t, q).Records)); diff != "" {
		t.Errorf("search %+v (-want +got):\n%s", q, diff)
	}
}

// wantNotFound fails the test unless the record is not to be had.
func (b *bench) wantNotFound(t *testing.T, logID string, filters ...store.Filter) {
	t.Helper()
	if r, err := b.Store.Get(t.Context(), logID, filters...); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get %q with %v: %q, %v, want ErrNotFound", logID, filters, r.LogID, err)
	}
}

func ids(records []event.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.LogID)
	}
	return out
}

// docs gives the documents of records, every other one with its encoding.
func docs(t *testing.T, records []event.Record) []store.Doc {
	t.Helper()
	out := make([]store.Doc, len(records))
	for i, r := range records {
		out[i].Record = r
		if i%2 == 0 {
			out[i].Encoded = encode(t, r)
		}
	}
	return out
}

func encode(t *testing.T, r event.Record) []byte {
	t.Helper()
	data, err := event.Encode(r)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return data
}
