package store

import (
	"context"
	"errors"

	"github.com/gormtrail/audit/event"
)

// ErrCheckpoint is returned, wrapped, if a checkpoint is none of this store, or of one that was replaced by
// another (restored from a backup, say). Whoever gets it begins again with the empty checkpoint.
var ErrCheckpoint = errors.New("store: checkpoint cannot be used")

// Feed gives records in the order in which they arrived, for programs that take over all of them, such as a
// SIEM. That is another order than that of Search: the time of a record is when the change was made, and it
// can be stored long after that.
//
// # Guarantee
//
// Who follows the checkpoints gets every record that is in the store, or comes into it later, at least once,
// however late the transaction that wrote it commits, unless it was deleted (by retention, say) before. A
// record comes twice only where a store says so. The order of two records is that of their arrival as far as
// the store knows it: records of one transaction, and on OpenSearch those of different months, come in any
// order. Records appear when nothing can come before them any more, so that an open transaction can hold up
// others; see the stores.
//
// Methods may be called concurrently and honour ctx.
type Feed interface {
	// Changes gives the records that have arrived after the checkpoint, the first ones first. The error wraps
	// ErrQuery if r is not valid, and ErrCheckpoint if its checkpoint cannot be used; else errors are those
	// of Search.
	Changes(ctx context.Context, r ChangesRequest) (Changes, error)
	// Now gives the checkpoint behind all records that Changes can give now.
	Now(ctx context.Context) (string, error)
}

// ChangesRequest asks for records in the order of their arrival.
type ChangesRequest struct {
	// After is a checkpoint that Changes or Now gave; empty is the beginning.
	After string
	// Query says by its Filters, times and Text which records are wanted; the rest of it is ignored.
	Query Query
	// Size is the largest number of records wanted, at most MaxSize. Defaults to DefaultChangesSize.
	Size int
}

// DefaultChangesSize is how many records Changes gives by default.
const DefaultChangesSize = 100

// Changes are records in the order of their arrival.
type Changes struct {
	Records []event.Record
	// Next is the checkpoint behind these records, and behind those before them that did not match. It is
	// printable ASCII, and always there: if nothing has arrived, it is as good as the one that was asked for.
	Next string
	// More reports whether Changes should be asked again at once. There may be more even if Records is empty,
	// because a call looks only at so many records.
	More bool
}

// WithDefaults gives r with the defaults filled in.
func (r ChangesRequest) WithDefaults() ChangesRequest {
	if r.Size == 0 {
		r.Size = DefaultChangesSize
	}
	return r
}

// Validate reports everything that is wrong with r, which has its defaults, but for the checkpoint; the error
// wraps ErrQuery.
func (r ChangesRequest) Validate() error {
	return Query{Filters: r.Query.Filters, From: r.Query.From, To: r.Query.To, Text: r.Query.Text, Size: r.Size}.WithDefaults().Validate()
}
