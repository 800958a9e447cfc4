package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gormtrail/audit/store"
)

// search is one kind of search.
type search struct {
	name string
	most int // ms that the p99 is to take at most on SQLite and PostgreSQL; 0 is no aim
	run  func(ctx context.Context, s searcher, rng *rand.Rand) error
}

func searches(size int) []search {
	filter := func(f store.Field, v ...string) store.Filter { return store.Filter{Field: f, Values: v} }
	approved := "APPROVED"
	page := func(name string, most int, query func(rng *rand.Rand) store.Query) search {
		return search{name, most, func(ctx context.Context, s searcher, rng *rand.Rand) error {
			_, err := s.Search(ctx, query(rng))
			return err
		}}
	}
	month := func(rng *rand.Rand) store.Query {
		from := trailStart.AddDate(0, 0, rng.IntN(330))
		return store.Query{From: from, To: from.AddDate(0, 0, 30)}
	}
	return []search{
		page("recent page", 10, func(*rand.Rand) store.Query { return store.Query{} }),
		page("object history", 10, func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldObjectType, "order"), filter(store.FieldObjectID, fmt.Sprint(rng.IntN(size/20+1)))}}
		}),
		page("filtered page: a user", 0, func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldUserID, fmt.Sprint(rng.IntN(5000)))}}
		}),
		page("filtered page: type and action, 30 days", 0, func(rng *rand.Rand) store.Query {
			q := month(rng)
			q.Filters = []store.Filter{filter(store.FieldObjectType, "order"), filter(store.FieldAction, "ADD")}
			return q
		}),
		page("filtered page: a request", 0, func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldRequestID, fmt.Sprintf("req-%d", rng.IntN(size/3+1)))}}
		}),
		page("changed: status to APPROVED", 0, func(*rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{store.Changed("status", nil, &approved)}}
		}),
		page("text: two words, one of them rare", 0, func(rng *rand.Rand) store.Query {
			return store.Query{Text: fmt.Sprintf("object %d", rng.IntN(7919))}
		}),
		page("text: two common words", 0, func(*rand.Rand) store.Query { return store.Query{Text: "nguyen letter"} }),
		page("page 1,000 of 20 by cursor", 0, func(*rand.Rand) store.Query {
			return store.Query{After: &store.Position{Timestamp: trailTime(max(0, size-20_000), size), LogID: "x"}}
		}),
		{"facets: action and type, 30 days", 0, func(ctx context.Context, s searcher, rng *rand.Rand) error {
			_, err := s.Facets(ctx, month(rng), store.FacetRequest{Fields: []store.Field{store.FieldAction, store.FieldObjectType}})
			return err
		}},
		{"facets: four fields, everything", 0, func(ctx context.Context, s searcher, _ *rand.Rand) error {
			_, err := s.Facets(ctx, store.Query{}, store.FacetRequest{Fields: []store.Field{store.FieldAction, store.FieldObjectType, store.FieldUserID, store.FieldChangedField}})
			return err
		}},
		{"histogram: days, 30 days", 0, func(ctx context.Context, s searcher, rng *rand.Rand) error {
			_, err := s.Histogram(ctx, month(rng), store.HistogramRequest{Interval: store.Day})
			return err
		}},
		{"histogram: days of the year by action", 0, func(ctx context.Context, s searcher, _ *rand.Rand) error {
			_, err := s.Histogram(ctx, store.Query{}, store.HistogramRequest{Interval: store.Day, By: store.FieldAction})
			return err
		}},
		{"count, exact", 0, func(ctx context.Context, s searcher, _ *rand.Rand) error {
			_, err := s.Count(ctx, store.Query{TotalLimit: -1})
			return err
		}},
	}
}
