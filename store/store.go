package store

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gormtrail/audit/event"
)

var (
	// ErrNotFound is returned if no record has the id, or none that the filters let through.
	ErrNotFound = errors.New("store: no such record")
	// ErrQuery is returned, wrapped, if a query cannot be run as it is; the text says why.
	ErrQuery = errors.New("store: bad query")
	// ErrUnavailable is returned, wrapped, if the store cannot answer now, or could only answer in
	// part. An audit answer is complete or an error.
	ErrUnavailable = errors.New("store: unavailable")
)

// Searcher finds records. Its methods may be called concurrently and honour ctx.
type Searcher interface {
	// Search gives one page of the records that match q. It returns an error that wraps ErrQuery if
	// q is not valid, and one that wraps ErrUnavailable if the answer would be incomplete.
	Search(ctx context.Context, q Query) (Page, error)
	// Get gives the record with the id, if it matches all filters; else an error that wraps
	// ErrNotFound.
	Get(ctx context.Context, logID string, filters ...Filter) (event.Record, error)
}

// Writer stores records, each log_id once. Its methods may be called concurrently and honour ctx.
type Writer interface {
	// Write stores docs and gives one result for each, in their order. The error is for what concerns
	// the whole call; the results are then nil, and whether documents were stored is unknown: call
	// again with the same ones. Write does not keep docs.
	Write(ctx context.Context, docs []Doc) ([]Result, error)
}

// Doc is a record to store.
type Doc struct {
	Record event.Record
	// Encoded is the encoding of Record, stored byte for byte. If it is nil, the store encodes.
	Encoded []byte
}

// Result says what became of one document.
type Result struct {
	Status Status
	// Err says why, unless Status is Stored or Duplicate.
	Err error
}

// Status is the class of a Result.
type Status int

// What may become of a document.
const (
	// Stored: it is in the store.
	Stored Status = iota
	// Duplicate: a record with this log_id and the same content is in the store already. A success.
	Duplicate
	// Conflict: a record with this log_id and other content is in the store; it stays.
	Conflict
	// Transient: not stored now, the store is overloaded; try again after a pause, without a limit.
	Transient
	// Environment: not stored, and no document would be (disk full, index closed, credentials): stop,
	// raise an alarm and probe; never a dead letter.
	Environment
	// Poison: this document will never be stored: a dead letter.
	Poison
)

// String gives the status as one lower-case word.
func (s Status) String() string {
	switch s {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case Conflict:
		return "conflict"
	case Transient:
		return "transient"
	case Environment:
		return "environment"
	case Poison:
		return "poison"
	}
	return "unknown"
}

// Page is one page of records, in the order of the query.
type Page struct {
	Records []event.Record
	// Total is the number of records that match, independent of the page, counted up to
	// Query.TotalLimit; TotalExact is false if there are more.
	Total      int64
	TotalExact bool
	// HasMore reports whether records follow this page in the direction of the query.
	HasMore bool
}

// Position is a place between records: that of one record in the order of the store, which is
// (timestamp in whole milliseconds, log_id); see Compare.
type Position struct {
	Timestamp time.Time
	LogID     string
}

// Compare gives -1, 0 or +1 as p comes before, with, or after o in ascending order: by timestamp, of
// which only whole milliseconds count (that is what all stores can sort by), then by the bytes of the
// log_id. Records made by this module keep their order within a millisecond only by chance.
func (p Position) Compare(o Position) int {
	if c := cmp.Compare(p.Timestamp.UnixMilli(), o.Timestamp.UnixMilli()); c != 0 {
		return c
	}
	return cmp.Compare(p.LogID, o.LogID)
}

// PositionOf gives the position of r.
func PositionOf(r event.Record) Position {
	return Position{Timestamp: r.Timestamp, LogID: r.LogID}
}
