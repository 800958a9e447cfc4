package outbox

import (
	"context"

	"github.com/gormtrail/audit/accounting"
)

// Accounting gives the numbers of now for the account of the outbox's producer, from the database. Its
// ConfirmAge is the relay's to say. A record that the outbox does not take fails with its transaction or
// is counted by the plugin: none is refused here.
func (o *Outbox) Accounting(ctx context.Context) (accounting.Queue, error) {
	s, err := o.Stats(ctx)
	if err != nil {
		return accounting.Queue{}, err
	}
	// Asked after the records without a sequence, so that one that gets its sequence between counts
	// twice for a moment, not never.
	now, err := o.state(ctx, o.pool)
	if err != nil {
		return accounting.Queue{}, err
	}
	return accounting.Queue{
		Producer: now.producer, Written: now.last + uint64(s.Unclaimed), Quarantined: uint64(s.Quarantined),
		Pending: uint64(s.Pending), PendingBytes: s.PendingBytes, OldestPending: s.OldestPending,
	}, nil
}
