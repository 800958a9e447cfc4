package query_test

import (
	"context"
	"sync"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// written is a memory that can be written to.
type written struct {
	mu sync.RWMutex
	memory
}

func (w *written) Write(_ context.Context, docs []store.Doc) ([]store.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	results := make([]store.Result, len(docs))
	for i, d := range docs {
		results[i] = w.put(d)
	}
	return results, nil
}

func (w *written) put(d store.Doc) store.Result {
	data, err := d.Encoded, error(nil)
	if data == nil {
		if data, err = event.Encode(d.Record); err != nil {
			return store.Result{Status: store.Poison, Err: err}
		}
	}
	r, err := event.Decode(data)
	if err != nil {
		return store.Result{Status: store.Poison, Err: err}
	}
	for _, have := range w.memory {
		if have.LogID != r.LogID {
			continue
		}
		old, oldErr := event.ContentHash(have)
		now, nowErr := event.ContentHash(r)
		if oldErr == nil && nowErr == nil && old == now {
			return store.Result{Status: store.Duplicate}
		}
		return store.Result{Status: store.Conflict, Err: store.ErrQuery}
	}
	w.memory = append(w.memory, r)
	return store.Result{}
}

func (w *written) Search(ctx context.Context, q store.Query) (store.Page, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.memory.Search(ctx, q)
}

func (w *written) Get(ctx context.Context, id string, filters ...store.Filter) (event.Record, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.memory.Get(ctx, id, filters...)
}

// The store of the tests does what every store must do.
func TestMemory_isAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Harness { return storetest.Harness{Store: &written{}} })
}
