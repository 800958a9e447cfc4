// Package failpoint marks the places at which crash tests end the process, so that what was promised
// there can be proved.
//
// Without the build tag failpoint, Hit and Err do nothing and are compiled away. With it, the
// environment variable AUDIT_FAILPOINT says what happens where, as entries separated by semicolons:
//
//	point[:n]=kill           the n-th time (default 1) the process kills itself with SIGKILL
//	point[:n]=sleep:200ms    it sleeps
//	point[:n]=error          Err gives ErrInjected there; Hit ignores it
//	point:*=…                every time, not with kill
//
// A wrong value ends the process with a message: a crash test must not pass because nothing crashed.
package failpoint

import "errors"

// Env is the name of the environment variable.
const Env = "AUDIT_FAILPOINT"

// ErrInjected is the error that Err gives where AUDIT_FAILPOINT says "error".
var ErrInjected = errors.New("failpoint: injected error")

// Point is a marked place.
type Point string

// The places, in the order in which a record passes them.
const (
	OutboxInserted Point = "outbox.inserted" // the outbox's rows are in the transaction, which is not committed

	CommitBefore Point = "commit.before" // the transaction's outermost COMMIT is next
	CommitAfter  Point = "commit.after"  // it has succeeded; the records are not yet handed to the sink

	EmitEnqueued Point = "emit.enqueued" // the committer has taken the records; nothing is written
	EmitWritten  Point = "emit.written"  // they are written, but not synced
	EmitSynced   Point = "emit.synced"   // they are synced; the caller does not know it
	EmitReturned Point = "emit.returned" // the caller is about to get success

	RelaySeqAssigned Point = "relay.seq_assigned" // an outbox relay has stored their send sequence
	RelayClaimed     Point = "relay.claimed"      // a relay has read records that wait
	PubSent          Point = "pub.sent"           // they were handed to the broker's client
	PubConfirmed     Point = "pub.confirmed"      // the broker has confirmed; the queue does not know it

	SpoolAcked          Point = "spool.acked"           // the queue knows it, the mark may not be on the disk
	OutboxSaved         Point = "outbox.saved"          // the outbox's mark is in the database, the rows are still there
	SpoolSegmentDeleted Point = "spool.segment_deleted" // an acknowledged segment, or outbox rows, were removed

	ConsReceived Point = "cons.received" // a consumer has read records
	BulkSent     Point = "bulk.sent"     // it is about to write them to the store
	BulkAcked    Point = "bulk.acked"    // the store has answered
	DLQWritten   Point = "dlq.written"   // dead letters are confirmed
	OffsetStored Point = "offset.stored" // the offset is committed

	SealLeaf           Point = "seal.leaf"           // a leaf is appended to the tree
	SealCheckpoint     Point = "seal.checkpoint"     // a checkpoint is signed and stored
	WatermarkPublished Point = "watermark.published" // the indexed watermark is published
)

// Points gives all places, in the order in which a record passes them.
func Points() []Point {
	return []Point{
		OutboxInserted, CommitBefore, CommitAfter, EmitEnqueued, EmitWritten, EmitSynced, EmitReturned,
		RelaySeqAssigned, RelayClaimed, PubSent, PubConfirmed, SpoolAcked, OutboxSaved, SpoolSegmentDeleted,
		ConsReceived, BulkSent, BulkAcked, DLQWritten, OffsetStored, SealLeaf, SealCheckpoint, WatermarkPublished,
	}
}
