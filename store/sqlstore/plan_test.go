package sqlstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// TestPlans: no query that a page, an object's history, a histogram or a feed is made of reads the whole table.
func TestPlans(t *testing.T) {
	t.Parallel()
	db, m := openMeddled(t)
	s := newStore(t, db, sqlstore.Config{})
	var many []store.Doc
	for _, r := range records(300) {
		many = append(many, store.Doc{Record: r})
	}
	if _, err := s.Write(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	if err := s.Index(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := records(1)[0].Timestamp
	filter := func(f store.Field, v string) store.Filter { return store.Filter{Field: f, Values: []string{v}} }
	search := func(q store.Query) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := s.Search(ctx, q)
			return err
		}
	}
	for _, tt := range []struct {
		name, index string
		run         func(ctx context.Context) error
	}{
		{"recent page", "audit_logs_ts", search(store.Query{TotalLimit: -1})},
		{"page by cursor", "audit_logs_ts", search(store.Query{TotalLimit: -1, After: &store.Position{Timestamp: at.Add(time.Minute), LogID: "x"}})},
		{"object history", "audit_logs_object", search(store.Query{Filters: []store.Filter{filter(store.FieldObjectType, "note"), filter(store.FieldObjectID, "7")}})},
		{"user", "audit_logs_user", search(store.Query{Filters: []store.Filter{filter(store.FieldUserID, "7")}})},
		{"batch", "audit_logs_batch", search(store.Query{Filters: []store.Filter{filter(store.FieldBatchID, "b")}})},
		{"histogram", "audit_logs_ts", func(ctx context.Context) error {
			_, err := s.Histogram(ctx, store.Query{From: at, To: at.Add(time.Hour)}, store.HistogramRequest{})
			return err
		}},
		{"facets of a range", "audit_logs_ts", func(ctx context.Context) error {
			_, err := s.Facets(ctx, store.Query{From: at, To: at.Add(time.Hour)}, store.FacetRequest{Fields: []store.Field{store.FieldAction}})
			return err
		}},
		{"changes", "INTEGER PRIMARY KEY", func(ctx context.Context) error {
			_, err := s.Changes(ctx, store.ChangesRequest{})
			return err
		}},
	} {
		var mu sync.Mutex
		var queries []string
		m.meddle(func(_ int, after bool, query string) error {
			mu.Lock()
			defer mu.Unlock()
			if !after && strings.Contains(query, `FROM "audit_logs"`) {
				queries = append(queries, query)
			}
			return nil
		})
		if err := tt.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.meddle(nil)
		if len(queries) == 0 {
			t.Errorf("%s: no query", tt.name)
		}
		for _, query := range queries {
			var plan []struct{ Detail string }
			if err := db.Raw("EXPLAIN QUERY PLAN " + strings.ReplaceAll(query, "?", "'1'")).Scan(&plan).Error; err != nil {
				t.Fatalf("%s: %s: %v", tt.name, query, err)
			}
			found := false
			for _, step := range plan {
				found = found || strings.Contains(step.Detail, tt.index)
				if strings.HasPrefix(step.Detail, "SCAN audit_logs") && !strings.Contains(step.Detail, "USING INDEX") {
					t.Errorf("%s: %s: %s", tt.name, query, step.Detail)
				}
			}
			if !found {
				t.Errorf("%s: %s: the plan is %v, want %s in it", tt.name, query, plan, tt.index)
			}
		}
	}
}
