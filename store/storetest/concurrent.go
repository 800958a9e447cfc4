package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit/store"
)

// testConcurrent writes overlapping batches from several goroutines while others search.
func testConcurrent(t *testing.T, b *bench) {
	const writers, batches, size = 6, 8, 20
	var mu sync.Mutex
	stored := map[string]int{}
	var wg sync.WaitGroup
	failed := make(chan error, 100)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for w := range writers {
		wg.Go(func() {
			for batch := range batches {
				// Two writers send each document.
				var docs []store.Doc
				for i := range size {
					n := (w/2*batches+batch)*size + i
					r := plainRecord(n, start.Add(time.Duration(n)*time.Second))
					r.ObjectRepr = fmt.Sprintf("word%d common", n)
					docs = append(docs, store.Doc{Record: r})
				}
				results, err := writeUntilDone(ctx, b, docs)
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				for i, r := range results {
					if r == store.Stored {
						stored[docs[i].Record.LogID]++
					}
				}
				mu.Unlock()
			}
		})
	}
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for n := 0; n < 20 && ctx.Err() == nil; n++ {
				for _, q := range []store.Query{{Text: "common", Size: 5}, {Size: 5}} {
					page, err := b.Store.Search(ctx, q)
					if err != nil {
						if ctx.Err() == nil {
							fail(fmt.Errorf("search while others write: %w", err))
						}
						return
					}
					if page.HasMore && len(page.Records) != 5 {
						fail(fmt.Errorf("a page of %d with more to come", len(page.Records)))
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	readers.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	b.refresh(t)
	const all = writers / 2 * batches * size
	if len(stored) != all {
		t.Errorf("%d of %d documents were stored", len(stored), all)
	}
	for logID, n := range stored {
		if n != 1 {
			t.Errorf("%s was stored %d times", logID, n)
		}
	}
	for _, q := range []store.Query{{Size: store.MaxSize}, {Size: store.MaxSize, Text: "common"}} {
		page := b.search(t, q)
		seen := map[string]bool{}
		for _, r := range page.Records {
			seen[r.LogID] = true
		}
		if len(seen) != all || len(page.Records) != all || int(page.Total) != all {
			t.Errorf("search %+v: %d records, %d different, total %d, want %d", q, len(page.Records), len(seen), page.Total, all)
		}
	}
}

// writeUntilDone writes as a careful caller does: again while the answer is that it may help.
func writeUntilDone(ctx context.Context, b *bench, docs []store.Doc) ([]store.Status, error) {
	out := make([]store.Status, len(docs))
	for i := range out {
		out[i] = store.Transient
	}
	for {
		var open []store.Doc
		var at []int
		for i, s := range out {
			if s == store.Transient {
				open, at = append(open, docs[i]), append(at, i)
			}
		}
		if len(open) == 0 {
			return out, nil
		}
		results, err := b.Store.Write(ctx, open)
		if err != nil {
			return nil, err
		}
		for i, r := range results {
			switch r.Status {
			case store.Stored, store.Duplicate, store.Transient:
				out[at[i]] = r.Status
			default:
				return nil, fmt.Errorf("document %s: %s: %w", open[i].Record.LogID, r.Status, r.Err)
			}
		}
	}
}
