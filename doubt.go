package audit

import (
	"context"
	"fmt"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/tx"
)

// OutcomeUnknown is the outcome of a record whose transaction has committed or has not: COMMIT was sent,
// and the connection, or the context, ended before the answer came. Only a sink behind COMMIT gets such
// records; one inside the transaction has them exactly if it committed.
const OutcomeUnknown = "unknown"

// inDoubt hands on the records of a transaction of which nobody knows whether it has committed.
func (h *handle) inDoubt(ctx context.Context, items []tx.Item, cause error) {
	ps := pendings(items)
	if len(ps) == 0 {
		return
	}
	h.auditor.report(context.WithoutCancel(ctx), KindCommit, fmt.Errorf("audit: it is not known whether a transaction has committed: %w", cause))
	h.ended(ctx, ps, true)
}

// doubt marks the records, and counts no object as processed. What was logged as a failure stays one.
func (u *unit) doubt() {
	for i := range u.records {
		r := &u.records[i]
		if r.Outcome == OutcomeFailure || r.Outcome == OutcomeAttempted {
			continue
		}
		r.Outcome = OutcomeUnknown
		// An error means a record that Encode refuses as well; the sink will say so.
		r.RecordHash, _ = event.ContentHash(*r)
		if u.encoded != nil {
			u.encoded[i] = nil // a TxSink may have the bytes; they are not changed
		}
	}
	u.processed = nil
}
