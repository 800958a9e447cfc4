package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// BestEffortSink is what a Sink may be besides, for records with the policy BestEffort.
type BestEffortSink interface {
	// WriteBestEffort takes over the records as Write does, but does not wait for what Write promises.
	WriteBestEffort(ctx context.Context, records []event.Record) error
}

// DurableSink is what a Sink may be besides, to say whether what it has taken outlives the process and the
// machine. One that is none counts as durable, so that a Sink which keeps records in memory should be one: the
// policy Strict promises a record, and is refused with a sink that is not durable.
type DurableSink interface {
	// Durable is asked once, by db.Use.
	Durable() bool
}

// durable reports whether the sink is; of a Tee, whether one of them is.
func durable(sink Sink) bool {
	if t, ok := sink.(tee); ok {
		return slices.ContainsFunc(t, durable)
	}
	d, ok := sink.(DurableSink)
	return !ok || d.Durable()
}

// encodedSink is what a Sink may have besides: it takes the records with their encodings, as event.Encode
// gives them, and may keep these. An encoding is nil where there is none.
type encodedSink interface {
	WriteEncoded(ctx context.Context, records []event.Record, encoded [][]byte) error
}

// encodedTxSink is the same for a TxSink.
type encodedTxSink interface {
	WriteEncodedTx(ctx context.Context, conn gorm.ConnPool, records []event.Record, encoded [][]byte) error
}

// writeTx hands the records of the unit to its sink.
func (u *unit) writeTx(ctx context.Context, sink TxSink, conn gorm.ConnPool) error {
	if s, ok := sink.(encodedTxSink); ok && u.encoded != nil {
		return s.WriteEncodedTx(ctx, conn, u.records, u.encoded)
	}
	return sink.WriteTx(ctx, conn, u.records)
}

// flusher is what a sink may have besides: Flush waits until what it has taken is where it promised
// to bring it.
type flusher interface {
	Flush(ctx context.Context) error
}

// Tee gives a sink that hands all records to each of the sinks, in their order. A sink that fails or
// panics does not keep the others from their records; the errors are joined. Its Flush flushes those
// that have one, and its String names all of them.
func Tee(sinks ...Sink) Sink { return tee(sinks) }

type tee []Sink

var (
	_ Sink    = tee(nil)
	_ flusher = tee(nil)

	_ BestEffortSink = tee(nil)
	_ encodedSink    = tee(nil)
)

// Write implements Sink.
func (t tee) Write(ctx context.Context, records []event.Record) error {
	return t.write(ctx, records, nil, false)
}

// WriteEncoded implements encodedSink.
func (t tee) WriteEncoded(ctx context.Context, records []event.Record, encoded [][]byte) error {
	return t.write(ctx, records, encoded, false)
}

// WriteBestEffort implements BestEffortSink.
func (t tee) WriteBestEffort(ctx context.Context, records []event.Record) error {
	return t.write(ctx, records, nil, true)
}

func (t tee) write(ctx context.Context, records []event.Record, encoded [][]byte, bestEffort bool) error {
	var errs []error
	for _, sink := range t {
		if err := write(ctx, sink, records, encoded, bestEffort); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", sinkName(sink), err))
		}
	}
	return errors.Join(errs...)
}

// Flush flushes the sinks.
func (t tee) Flush(ctx context.Context) error {
	var errs []error
	for _, sink := range t {
		errs = append(errs, flush(ctx, sink))
	}
	return errors.Join(errs...)
}

// String gives the composition, such as tee(*spool.Spool,*filelog.Log).
func (t tee) String() string {
	names := make([]string, len(t))
	for i, sink := range t {
		names[i] = sinkName(sink)
	}
	return "tee(" + strings.Join(names, ",") + ")"
}

func sinkName(sink any) string {
	if s, ok := sink.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", sink)
}

// write calls a sink. A panic in it becomes its error.
func write(ctx context.Context, sink Sink, records []event.Record, encoded [][]byte, bestEffort bool) error {
	if sink == nil {
		return errors.New("audit: a sink is nil")
	}
	f := sink.Write
	if b, ok := sink.(BestEffortSink); ok && bestEffort {
		f = b.WriteBestEffort
	} else if e, ok := sink.(encodedSink); ok && encoded != nil {
		f = func(ctx context.Context, records []event.Record) error { return e.WriteEncoded(ctx, records, encoded) }
	}
	return guard("sink "+sinkName(sink), func() error { return f(ctx, records) })
}

// takesEncoded reports whether a sink, or one of a Tee, takes encodings.
func takesEncoded(sink Sink) bool {
	if t, ok := sink.(tee); ok {
		return slices.ContainsFunc(t, takesEncoded)
	}
	_, ok := sink.(encodedSink)
	return ok
}

func flush(ctx context.Context, sink any) error {
	f, ok := sink.(flusher)
	if !ok {
		return nil
	}
	if err := f.Flush(ctx); err != nil {
		return fmt.Errorf("audit: flush %s: %w", sinkName(sink), err)
	}
	return nil
}
