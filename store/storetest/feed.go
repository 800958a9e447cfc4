package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// testFeed follows the records in the order of their arrival, while they are written.
func testFeed(t *testing.T, b *bench) {
	first, err := b.Store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty, err := b.Store.Changes(t.Context(), store.ChangesRequest{})
	if err != nil || len(empty.Records) != 0 || empty.More || empty.Next == "" {
		t.Fatalf("changes of an empty store: %+v, %v", empty, err)
	}
	records := corpus()
	// The newest first: the order of arrival is not that of time.
	slices.SortFunc(records, func(x, y event.Record) int { return store.PositionOf(y).Compare(store.PositionOf(x)) })
	half := len(records) / 2
	b.write(t, docs(t, records[:half])...)
	seen, next := b.followAll(t, empty.Next, 7, half)
	wantSet(t, "the first half", records[:half], seen)
	fromNow, _ := b.followAll(t, first, 7, half)
	wantSet(t, "from what was now before", records[:half], fromNow)
	now, err := b.Store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, docs(t, records[half:])...)
	seen, next = b.followAll(t, next, 7, len(records)-half)
	wantSet(t, "the second half", records[half:], seen)
	fromNow, _ = b.followAll(t, now, 1000, len(records)-half)
	wantSet(t, "from now", records[half:], fromNow)
	again, last := b.follow(t, next, store.Query{}, 7)
	wantSet(t, "nothing new", nil, again)
	if again, _ = b.follow(t, last, store.Query{}, 7); len(again) != 0 {
		t.Errorf("nothing new twice: %q", again)
	}
	all, _ := b.follow(t, "", store.Query{}, 5)
	wantSet(t, "from the beginning", records, all)
	for _, q := range []store.Query{
		{Filters: []store.Filter{{Field: store.FieldTenantID, Values: []string{"a"}}}},
		{Filters: []store.Filter{{Field: store.FieldUsername, Values: []string{"NGUYEN"}, Not: true}}},
		{Filters: changeFilters()[:1]},
		{Text: "customer"},
		{From: start.Add(time.Hour)},
		{Text: "%"},
	} {
		var want []event.Record
		for _, r := range records {
			if matches(r, q) {
				want = append(want, r)
			}
		}
		got, _ := b.follow(t, "", q, 5)
		wantSet(t, show(q), want, got)
	}
	testFeedConcurrent(t, b, last)
}

// followAll follows the checkpoints until so many records have come: an open transaction of somebody else may
// hold them up.
func (b *bench) followAll(t *testing.T, after string, size, want int) (seen []string, next string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var some []string
		some, after = b.follow(t, after, store.Query{}, size)
		if seen = append(seen, some...); len(seen) >= want || time.Now().After(deadline) {
			return seen, after
		}
		<-ticker.C
	}
}

// follow follows the checkpoints until nothing is left, and gives the ids.
func (b *bench) follow(t *testing.T, after string, q store.Query, size int) (seen []string, next string) {
	t.Helper()
	for calls := 0; ; calls++ {
		changes, err := b.Store.Changes(t.Context(), store.ChangesRequest{After: after, Query: q, Size: size})
		if err != nil {
			t.Fatalf("changes after %q: %v", after, err)
		}
		if len(changes.Records) > size {
			t.Fatalf("%d changes, want at most %d", len(changes.Records), size)
		}
		for _, c := range changes.Next {
			if c < ' ' || c > '~' {
				t.Errorf("checkpoint %q is not printable", changes.Next)
			}
		}
		seen, after = append(seen, ids(changes.Records)...), changes.Next
		if !changes.More {
			return seen, after
		}
		if calls > 1000 {
			t.Fatalf("still more after %d calls and %d records", calls, len(seen))
		}
	}
}

// wantSet fails the test unless the ids are those of the records, each once.
func wantSet(t *testing.T, what string, want []event.Record, got []string) {
	t.Helper()
	have, wanted := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(ids(want)))
	if diff := cmp.Diff(wanted, have); diff != "" {
		t.Errorf("changes, %s (-want +got):\n%s", what, diff)
	}
}

// testFeedConcurrent follows while several write, each in its own time: none may be skipped.
func testFeedConcurrent(t *testing.T, b *bench, after string) {
	const writers, batches, size = 4, 6, 5
	var want []event.Record
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for w := range writers {
		var mine []event.Record
		for i := range batches * size {
			n := 10_000 + w*batches*size + i
			mine = append(mine, plainRecord(n, start.Add(time.Duration(n*7919%10_000)*time.Second)))
		}
		want = append(want, mine...)
		wg.Go(func() {
			for part := range slices.Chunk(mine, size) {
				if _, err := writeUntilDone(ctx, b, docs(t, part)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	var seen []string
	for writing := true; writing; {
		select {
		case <-done:
			writing = false // and once more, for all that is there now
		default:
		}
		var some []string
		some, after = b.follow(t, after, store.Query{}, 13)
		seen = append(seen, some...)
	}
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	rest, _ := b.followAll(t, after, 13, len(want)-len(seen))
	seen = append(seen, rest...)
	wantSet(t, "while others write", want, seen)
}
