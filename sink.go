package audit

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
)

// Sink takes records after COMMIT.
type Sink interface {
	// Write takes over the records of one transaction, in order. When it returns nil, the sink's own
	// promise holds (on disk, in memory, …). ctx is not cancelled when the request ends. Write must not
	// keep or change records. It may be called concurrently.
	Write(ctx context.Context, records []event.Record) error
}

// TxSink is a sink that takes records just before COMMIT, in the same transaction, so that they are
// there if and only if the change is.
type TxSink interface {
	// WriteTx writes the records of the transaction through conn, which belongs to it. With the policy
	// Continue an error must leave the transaction usable. It may be called concurrently for different
	// transactions.
	WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error
}
