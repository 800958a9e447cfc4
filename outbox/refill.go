package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/gormtrail/audit/stream"
)

// Refill is a range of sequences that were sent before, to be sent again: the stream has lost them. It is a
// relay.Queue with an end, and changes nothing in the outbox.
type Refill struct {
	queue    *Queue // gives messages their names and sequences
	producer string
	from, to uint64

	mu           sync.Mutex
	acknowledged uint64
}

// Refill gives the records with the sequences from to to, which must still be there, see
// QueueConfig.Retention; else the error wraps ErrRange. They are sent under a producer name of their own,
// because under its own the stream would take them for what it has had; the store drops what it has. A relay
// of it ends when all are confirmed.
func (o *Outbox) Refill(ctx context.Context, from, to uint64) (*Refill, error) {
	if from < 1 || to < from {
		return nil, fmt.Errorf("%w: from %d to %d, want 1 or more, in this order", ErrRange, from, to)
	}
	s, err := o.state(ctx, o.pool)
	if err != nil {
		return nil, err
	}
	var records uint64
	var first, last sql.NullInt64
	p := o.d.Placeholder
	err = o.pool.QueryRowContext(ctx, "SELECT coalesce(sum(records), 0), min(last - records + 1), max(last) FROM "+o.names.Table("_queue")+
		" WHERE last >= "+p(1)+" AND last - records < "+p(2), from, to).Scan(&records, &first, &last)
	if err != nil {
		return nil, fmt.Errorf("outbox: look for sequences in %s: %w", o.names.Table("_queue"), err)
	}
	if !first.Valid || uint64(first.Int64) > from || uint64(last.Int64) < to || records != uint64(last.Int64-first.Int64+1) {
		return nil, fmt.Errorf("%w: from %d to %d, %d records from %d to %d are left of them", ErrRange, from, to, records, first.Int64, last.Int64)
	}
	return &Refill{
		queue: &Queue{o: o, producer: s.producer}, producer: newProducer(o.cfg),
		from: from, to: to, acknowledged: from - 1,
	}, nil
}

// Producer implements relay.Queue.
func (r *Refill) Producer() string { return r.producer }

// Acknowledged implements relay.Queue.
func (r *Refill) Acknowledged() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acknowledged
}

// Last implements relay.Queue.
func (r *Refill) Last(context.Context) (uint64, error) { return r.to, nil }

// Acknowledge implements relay.Queue.
func (r *Refill) Acknowledge(_ context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acknowledged = max(r.acknowledged, seq)
	return nil
}

// Quarantine implements relay.Queue. The record is there already.
func (r *Refill) Quarantine(context.Context, stream.Message, error) error { return nil }

// Read implements relay.Queue.
func (r *Refill) Read(ctx context.Context, after uint64, limit int) (messages []stream.Message, err error) {
	after = max(after, r.from-1)
	if after >= r.to {
		return nil, io.EOF
	}
	o := r.queue.o
	rows, err := o.pool.QueryContext(ctx, "SELECT last, records, body FROM "+o.names.Table("_queue")+" WHERE last > "+o.d.Placeholder(1)+" ORDER BY last LIMIT "+strconv.Itoa(readRows), after)
	if err != nil {
		return nil, fmt.Errorf("outbox: read %s: %w", o.names.Table("_queue"), err)
	}
	defer func() {
		if cerr := rows.Close(); err == nil && cerr != nil {
			messages, err = nil, cerr
		}
	}()
	for rows.Next() && len(messages) < limit {
		var last uint64
		var records int
		var body []byte
		if err := rows.Scan(&last, &records, &body); err != nil {
			return nil, err
		}
		for _, m := range r.queue.messages(last-uint64(max(records, 1))+1, last, records, body) {
			if m.Seq > after && m.Seq <= r.to && len(messages) < limit {
				messages = append(messages, m)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("%w: behind %d, they were deleted meanwhile", ErrRange, after)
	}
	return messages, nil
}
