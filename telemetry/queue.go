package telemetry

import (
	"context"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
)

// queued is what every queue knows of itself.
type queued struct {
	kind, producer        string
	written, acknowledged uint64
	pending, lost         uint64
	quarantined           uint64
	bytes                 int64 // of what is pending
	oldest                time.Duration
	refused               map[string]uint64
	spool                 *spool.Stats  // nil: none
	outbox                *outbox.Stats // nil: none
}

// ofSpool reports a number that only a spool has.
func ofSpool(value func(s *spool.Stats) float64) func(queued, put) {
	return func(q queued, report put) {
		if q.spool != nil {
			report(value(q.spool))
		}
	}
}

// ofOutbox reports a number that only an outbox has.
func ofOutbox(value func(s *outbox.Stats) float64) func(queued, put) {
	return func(q queued, report put) {
		if q.outbox != nil {
			report(value(q.outbox))
		}
	}
}

// problems are always reported, so that each has a series.
var problems = []spool.Problem{spool.ProblemFull, spool.ProblemReadOnly, spool.ProblemFailing, spool.ProblemDescriptors, spool.ProblemRemoved}

var queueNumbers = []number[queued]{
	{"audit.queue.written", "{record}", "Records that the queue has taken, ever.", counter, one(func(q queued) float64 { return float64(q.written) })},
	{"audit.queue.acknowledged", "{record}", "Records that the stream has confirmed, or that were put aside, ever.", counter, one(func(q queued) float64 { return float64(q.acknowledged) })},
	{"audit.queue.pending", "{record}", "Records that wait for the stream.", updown, one(func(q queued) float64 { return float64(q.pending) })},
	{"audit.queue.pending.size", "By", "Size of what waits for the stream, about.", updown, one(func(q queued) float64 { return float64(q.bytes) })},
	{"audit.queue.oldest.age", "s", "For how long the oldest of them has been waiting.", gauge, one(func(q queued) float64 { return q.oldest.Seconds() })},
	{"audit.queue.lost", "{record}", "Records that are lost.", counter, one(func(q queued) float64 { return float64(q.lost) })},
	{"audit.queue.quarantined", "{record}", "Records that no broker would take, and were put aside.", counter, one(func(q queued) float64 { return float64(q.quarantined) })},
	{"audit.queue.refused", "{record}", "Records that the queue did not take, by reason.", counter, func(q queued, report put) {
		for reason, n := range q.refused {
			report(float64(n), attribute.String("reason", reason))
		}
	}},
	{"audit.queue.unindexed", "{record}", "Records that the stream has confirmed and the store is not known to have.", updown, func(q queued, report put) {
		if q.spool != nil && q.spool.Indexed > 0 { // else no consumer has told anything
			report(float64(q.spool.Acknowledged - min(q.spool.Indexed, q.spool.Acknowledged)))
		}
	}},
	{"audit.spool.size", "By", "Size of the spool's files, with what is kept though it is confirmed.", updown, ofSpool(func(s *spool.Stats) float64 { return float64(s.Bytes) })},
	{"audit.spool.segments", "{file}", "Files of the spool.", updown, ofSpool(func(s *spool.Stats) float64 { return float64(s.Segments) })},
	{"audit.spool.unsynced", "{record}", "Records of the policy BestEffort that are on their way to the disk.", updown, ofSpool(func(s *spool.Stats) float64 { return float64(s.Unsynced) })},
	{"audit.spool.degraded", "{record}", "Records written without old and new values, as there was little room.", counter, ofSpool(func(s *spool.Stats) float64 { return float64(s.Degraded) })},
	{"audit.spool.gaps", "{record}", "Gap records written: each tells of records that are lost.", counter, ofSpool(func(s *spool.Stats) float64 { return float64(s.Gaps) })},
	{"audit.spool.gaps.waiting", "{gap}", "Gaps that wait for their gap record.", updown, ofSpool(func(s *spool.Stats) float64 { return float64(s.GapsWaiting) })},
	{"audit.spool.sync.errors", "{error}", "Writes and syncs that failed, also if another file made them good.", counter, ofSpool(func(s *spool.Stats) float64 { return float64(s.SyncErrors) })},
	{"audit.spool.quarantined.size", "By", "Bytes that recovery found cut at the end or damaged in the middle, and put aside.", counter, func(q queued, report put) {
		if q.spool != nil {
			report(float64(q.spool.CutBytes), attribute.String("reason", "cut"))
			report(float64(q.spool.DamagedBytes), attribute.String("reason", "damaged"))
		}
	}},
	{"audit.spool.problem", "", "1 for what is wrong with the disk now.", gauge, func(q queued, report put) {
		for _, p := range problems {
			if q.spool != nil {
				report(yes(q.spool.Problem == p), attribute.String("problem", string(p)))
			}
		}
	}},
	{"audit.spool.disk.free", "By", "What is free on the volume of the spool; on Linux only.", gauge, func(q queued, report put) {
		if q.spool != nil && q.spool.FreeBytes != math.MaxInt64 {
			report(float64(q.spool.FreeBytes))
		}
	}},
	{"audit.outbox.unclaimed", "{record}", "Records in the outbox that have no sequence yet.", updown, ofOutbox(func(s *outbox.Stats) float64 { return float64(s.Unclaimed) })},
	{"audit.outbox.kept", "{record}", "Confirmed records that are still in the outbox.", updown, ofOutbox(func(s *outbox.Stats) float64 { return float64(s.Kept) })},
	{"audit.outbox.transaction.age", "s", "For how long the oldest transaction of the database server has been open.", gauge, func(q queued, report put) {
		if q.outbox != nil && q.outbox.OldestTransactionKnown {
			report(q.outbox.OldestTransaction.Seconds())
		}
	}},
}

func queueSource(read func(ctx context.Context) ([]queued, error)) Source {
	return &source[queued]{numbers: queueNumbers, read: read, attributes: func(q queued) []attribute.KeyValue {
		return []attribute.KeyValue{attribute.String("queue", q.kind), attribute.String("producer", q.producer)}
	}}
}

// Spool gives the numbers of a spool.
func Spool(q *spool.Spool) Source {
	return queueSource(live(func() queued {
		s := q.Stats()
		return queued{
			kind: "spool", producer: s.Producer, written: s.Written + s.Unsynced, acknowledged: s.Acknowledged, pending: s.Pending + s.Unsynced, lost: s.Lost,
			quarantined: s.Quarantined, bytes: q.Accounting().PendingBytes, oldest: s.OldestPending,
			refused: map[string]uint64{"full": s.Full, "failed": s.Failed, "rejected": s.Rejected}, spool: &s,
		}
	}))
}

// outboxTimeout bounds the questions to the database of an outbox.
const outboxTimeout = 5 * time.Second

// Outbox gives the numbers of an outbox, which are read from its database: two seconds are long enough
// between two collections, and one program that asks is enough for all.
func Outbox(q *outbox.Outbox) Source {
	return queueSource(func(ctx context.Context) ([]queued, error) {
		ctx, cancel := context.WithTimeout(ctx, outboxTimeout)
		defer cancel()
		s, err := q.Stats(ctx)
		if err != nil {
			return nil, err
		}
		return []queued{{
			kind: "outbox", producer: s.Producer, written: s.Last + uint64(s.Unclaimed), acknowledged: s.Acknowledged,
			pending: uint64(s.Pending), quarantined: uint64(s.Quarantined), bytes: s.PendingBytes, oldest: s.OldestPending, outbox: &s,
		}}, nil
	})
}

// Direct gives the numbers of a sink that sends from memory, and those of its relay. name tells it from others
// of the process: a Direct has no producer name.
func Direct(name string, q *relay.Direct) Source {
	return sources{
		queueSource(live(func() queued {
			s := q.Stats()
			return queued{
				kind: "memory", producer: name, written: s.Written, acknowledged: s.Written - s.Pending, pending: s.Pending, lost: s.Dropped,
				bytes: int64(s.PendingBytes), oldest: s.Relay.ConfirmAge, refused: map[string]uint64{"full": s.Dropped},
			}
		})),
		relaySource(name, func() relay.Stats { return q.Stats().Relay }),
	}
}
