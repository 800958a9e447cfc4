package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// recordsOf gives all records of a batch, the oldest first.
func recordsOf(ctx context.Context, search store.Searcher, batchID string) ([]event.Record, error) {
	query := store.Query{
		Filters: []store.Filter{{Field: store.FieldBatchID, Values: []string{batchID}}}, Ascending: true, Size: 500,
	}
	var all []event.Record
	for {
		page, err := search.Search(ctx, query.WithDefaults())
		if err != nil {
			return nil, err
		}
		all = append(all, page.Records...)
		if !page.HasMore {
			return all, nil
		}
		last := store.PositionOf(page.Records[len(page.Records)-1])
		query.After = &last
	}
}

// recorded gives the differences that the records of a batch tell.
func recorded(records []event.Record) ([]difference, error) {
	kinds := map[event.Action]kind{event.ActionAdd: added, event.ActionChange: changed, event.ActionDelete: removed}
	var all []difference
	seen := make(map[string]bool, len(records))
	for _, r := range records {
		k, known := kinds[r.Action]
		switch {
		case r.ObjectType != "subdivision" || !known || r.IsTruncated:
			return nil, fmt.Errorf("registry: record %s is not one of a subdivision: %s of %s %q", r.LogID, r.Action, r.ObjectType, r.ObjectID)
		case seen[r.ObjectID]:
			return nil, fmt.Errorf("registry: subdivision %s has two records in the batch", r.ObjectID)
		}
		seen[r.ObjectID] = true
		d := difference{Code: r.ObjectID, Kind: k}
		for _, c := range r.Changes {
			f, err := fieldOf(c)
			if err != nil {
				return nil, fmt.Errorf("registry: record %s: %w", r.LogID, err)
			}
			// The code names the difference; a column without a value before and after is none.
			if c.Field != "code" && (f.Old != nil || f.New != nil) {
				d.Fields = append(d.Fields, f)
			}
		}
		all = append(all, d)
	}
	sortDifferences(all)
	return all, nil
}

func fieldOf(c event.Change) (fieldChange, error) {
	f := fieldChange{Field: c.Field}
	for _, v := range []struct {
		raw  json.RawMessage
		text **string
	}{{c.Old, &f.Old}, {c.New, &f.New}} {
		if v.raw == nil {
			continue
		}
		if err := json.Unmarshal(v.raw, v.text); err != nil {
			return f, fmt.Errorf("%s is %s: %w", c.Field, v.raw, err)
		}
	}
	return f, nil
}
