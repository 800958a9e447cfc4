package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/consumer"
)

var states = []consumer.State{consumer.StateStopped, consumer.StateConnecting, consumer.StateRunning, consumer.StateWaiting, consumer.StateSuspended}

var consumerNumbers = []number[consumer.Stats]{
	{"audit.consumer.state", "", "1 for what the consumer is doing now.", gauge, func(s consumer.Stats, report put) {
		for _, state := range states {
			report(yes(s.State == state), attribute.String("state", string(state)))
		}
	}},
	{"audit.consumer.received", "{message}", "Messages from the stream, with those that came again.", counter, one(func(s consumer.Stats) float64 { return float64(s.Received) })},
	{"audit.consumer.settled", "{message}", "Messages that are done, by outcome: stored, in the store already, or in the dead letters because they are no record, the store refuses them, or another record has their id.", counter, func(s consumer.Stats, report put) {
		outcomes(
			report,
			outcome{"stored", s.Stored},
			outcome{"duplicate", s.Duplicates},
			outcome{"undecodable", s.Undecodable},
			outcome{"refused", s.Refused},
			outcome{"conflict", s.Conflicts},
		)
	}},
	{"audit.consumer.dead.letters", "{message}", "Messages that went into the dead letters.", counter, one(func(s consumer.Stats) float64 { return float64(s.DeadLettered) })},
	{"audit.consumer.retries", "{record}", "Records that were sent to the store again.", counter, one(func(s consumer.Stats) float64 { return float64(s.Retries) })},
	{"audit.consumer.store.waits", "{wait}", "How often the store took no records at all.", counter, one(func(s consumer.Stats) float64 { return float64(s.EnvironmentWaits) })},
	{"audit.consumer.reconnects", "{connection}", "How often the stream was lost.", counter, one(func(s consumer.Stats) float64 { return float64(s.Reconnects) })},
	{"audit.consumer.removed", "{offset}", "Offsets that the stream had removed before they were read.", counter, one(func(s consumer.Stats) float64 { return float64(s.Missing) })},
	{"audit.consumer.sequence.gaps", "{gap}", "How often sequences of a producer did not come.", counter, one(func(s consumer.Stats) float64 { return float64(s.SequenceGaps) })},
	{"audit.consumer.missing", "{record}", "Records that did not come and may still.", updown, one(func(s consumer.Stats) float64 { return float64(s.MissingRecords) })},
	{"audit.consumer.lost", "{record}", "Records of which a gap record says that they are lost.", counter, one(func(s consumer.Stats) float64 { return float64(s.LostRecords) })},
	{"audit.consumer.checkpoint.errors", "{error}", "Checkpoints and watermarks that could not be saved.", counter, one(func(s consumer.Stats) float64 { return float64(s.CheckpointErrors) })},
	{"audit.consumer.checkpoint.age", "s", "For how long an offset was committed that no checkpoint has.", gauge, one(func(s consumer.Stats) float64 { return s.CheckpointAge.Seconds() })},
	{"audit.consumer.held", "{message}", "Messages in memory: read, and not settled or behind what is not.", updown, one(func(s consumer.Stats) float64 { return float64(s.Held) })},
	{"audit.consumer.held.size", "By", "Size of the messages in memory.", updown, one(func(s consumer.Stats) float64 { return float64(s.HeldBytes) })},
	{"audit.consumer.writes", "{batch}", "Batches that are being written.", updown, one(func(s consumer.Stats) float64 { return float64(s.InFlight) })},
	{"audit.consumer.writes.limit", "{batch}", "How many batches may be written at the same time now.", gauge, one(func(s consumer.Stats) float64 { return float64(s.MaxInFlight) })},
	{"audit.consumer.lag", "{message}", "About how many messages of the stream are not settled.", gauge, func(s consumer.Stats, report put) {
		if s.Lag >= 0 {
			report(float64(s.Lag))
		}
	}},
	{"audit.consumer.lag.age", "s", "How old the record is that was settled last, if any are not.", gauge, one(func(s consumer.Stats) float64 { return s.LagAge.Seconds() })},
	{"audit.consumer.lag.retention", "1", "Lag as a share of what the stream still holds: at 1, messages are removed before they are read.", gauge, one(func(s consumer.Stats) float64 { return s.Unread })},
	{"audit.consumer.offset", "{offset}", "Offset up to which everything is done.", gauge, one(func(s consumer.Stats) float64 { return float64(s.Offset) })},
}

// Consumer gives the numbers of a consumer.
func Consumer(c *consumer.Consumer) Source {
	return &source[consumer.Stats]{numbers: consumerNumbers, read: live(c.Stats), attributes: func(s consumer.Stats) []attribute.KeyValue {
		return []attribute.KeyValue{attribute.String("stream", s.Stream)}
	}}
}

var accountNumbers = []number[accounting.Account]{
	{"audit.account.emitted", "{record}", "Records handed to the queue: each is indexed, pending, dead-lettered or lost.", counter, one(func(a accounting.Account) float64 { return float64(a.Emitted) })},
	{"audit.account.indexed", "{record}", "Records in the store.", counter, one(func(a accounting.Account) float64 { return float64(a.Indexed) })},
	{"audit.account.pending", "{record}", "Records on their way to the store.", updown, one(func(a accounting.Account) float64 { return float64(a.Pending) })},
	{"audit.account.dead.lettered", "{record}", "Records that cannot be stored or sent, and were put aside.", counter, one(func(a accounting.Account) float64 { return float64(a.DeadLettered) })},
	{"audit.account.lost", "{record}", "Records that are lost, and were counted as lost.", counter, one(func(a accounting.Account) float64 { return float64(a.Lost) })},
	{"audit.account.unbalanced", "", "1: more has come out than went in, somebody else writes under the producer's name.", gauge, one(func(a accounting.Account) float64 { return yes(a.Check() != nil) })},
}

// Accounts gives the accounts of producers, such as those of a Ledger, for the program that has both ends.
func Accounts(accounts func() []accounting.Account) Source {
	return &source[accounting.Account]{numbers: accountNumbers, read: func(context.Context) ([]accounting.Account, error) { return accounts(), nil }, attributes: func(a accounting.Account) []attribute.KeyValue {
		return []attribute.KeyValue{attribute.String("producer", a.Producer)}
	}}
}
