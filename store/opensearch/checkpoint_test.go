package opensearch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/store"
)

func TestCheckpoint_isKept(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ctx := t.Context()
	if _, ok, err := s.Load(ctx, "logs", "g"); ok || err != nil {
		t.Fatalf("before the first: %v, %v", ok, err)
	}
	c := checkpoint.Checkpoint{Version: checkpoint.Version, Group: "g", Stream: "a/b ü", Offset: 7, Complete: true, At: time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)}
	c.Producers = make(map[string]checkpoint.Progress)
	for i := range 2000 { // more than an index may have fields
		c.Producers[fmt.Sprintf("producer.%d", i)] = checkpoint.Progress{Seen: 9, Missing: []checkpoint.Range{{From: 2, To: 3}}}
	}
	other := checkpoint.Checkpoint{Version: checkpoint.Version, Group: "h", Stream: "a/b ü", Offset: 1000}
	for _, save := range []checkpoint.Checkpoint{c, other} {
		if err := s.Save(ctx, save); err != nil {
			t.Fatal(err)
		}
	}
	c.Offset = 3 // also one that is lower: a stream may have been made anew
	if err := s.Save(ctx, c); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Load(ctx, c.Stream, c.Group)
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if d := cmp.Diff(c, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if open, _, err := asReader(t, s).list(ctx); err != nil || len(open) != 0 {
		t.Errorf("indices of records: %v, %v, want none", open, err)
	}
}

func TestCheckpoint_noServer_isUnavailable(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Addresses: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Load(t.Context(), "logs", "g"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("load: %v, want ErrUnavailable", err)
	}
	if err := s.Save(t.Context(), checkpoint.Checkpoint{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("save: %v, want ErrUnavailable", err)
	}
}
