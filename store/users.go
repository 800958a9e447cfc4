package store

import (
	"context"
	"time"

	"github.com/gormtrail/audit/event"
)

// User is somebody who has done something.
type User struct {
	// UserID identifies them.
	UserID string
	// Count is how many of the records are theirs.
	Count int64
	// First and Last are when their oldest and newest record was made.
	First, Last time.Time
	// Newest is their newest record, with their names of then.
	Newest event.Record
}

// Users gives those who made the records that match q, at most size of them, who made most first. The
// facet says how many records others made, how many nobody made, and whether the counts are exact. It asks
// s once, and twice more for each user. Errors are those of Facets and Search.
func Users(ctx context.Context, s interface {
	Searcher
	Faceter
}, q Query, size int,
) ([]User, Facet, error) {
	facets, err := s.Facets(ctx, q, FacetRequest{Fields: []Field{FieldUserID}, Size: size})
	if err != nil {
		return nil, Facet{}, err
	}
	users := make([]User, 0, len(facets[0].Values))
	for _, v := range facets[0].Values {
		one := Query{From: q.From, To: q.To, Text: q.Text, Size: 1, TotalLimit: -1}
		one.Filters = append(append(one.Filters, q.Filters...), Filter{Field: FieldUserID, Values: []string{v.Value}})
		newest, err := s.Search(ctx, one)
		if err != nil {
			return nil, Facet{}, err
		}
		one.Ascending = true
		oldest, err := s.Search(ctx, one)
		if err != nil {
			return nil, Facet{}, err
		}
		if len(newest.Records) == 0 || len(oldest.Records) == 0 {
			continue // deleted meanwhile
		}
		users = append(users, User{
			UserID: v.Value, Count: v.Count, Newest: newest.Records[0],
			First: oldest.Records[0].Timestamp, Last: newest.Records[0].Timestamp,
		})
	}
	return users, facets[0], nil
}
