package store

import "context"

// Counter counts records. Its method may be called concurrently and honours ctx.
type Counter interface {
	// Count gives how many records match q, counted up to q.TotalLimit: the constant TotalLimit if that is 0,
	// and without any bound if it is negative, which may take long. Of q only filters, times, Text and
	// TotalLimit matter. Errors are those of Search.
	Count(ctx context.Context, q Query) (Total, error)
}

// Total is a number of records.
type Total struct {
	Count int64
	// Exact is false if there are more than Count.
	Exact bool
}
