package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// DirectConfig is the configuration of a Direct. The zero value has the defaults.
type DirectConfig struct {
	// Relay is that of the relay behind the memory.
	Relay Config
	// MaxRecords and MaxBytes are how much waits in memory for the stream.
	//
	// Default to 100,000 and 64 MiB.
	MaxRecords int
	MaxBytes   int
}

// Direct is a sink that sends records to the stream from memory: best effort. What is in memory when
// the process ends is lost, and when the memory is full, new records are. It is an audit.Sink.
type Direct struct {
	config DirectConfig
	relay  *Relay
	cancel context.CancelFunc
	ended  sync.WaitGroup
	id     string

	mu           sync.Mutex
	messages     []stream.Message // behind acknowledged, in order
	acknowledged uint64
	last         uint64
	bytes        int
	dropped      uint64
	closed       bool
	changed      chan struct{}
}

var _ Queue = (*directQueue)(nil)

// directQueue is the side of Direct that its relay sees.
type directQueue struct{ *Direct }

// NewDirect makes a sink and sets it going. The stream need not be there yet. Shutdown ends it.
func NewDirect(dial DialFunc, config DirectConfig) (*Direct, error) {
	if config.MaxRecords == 0 {
		config.MaxRecords = 100_000
	}
	if config.MaxBytes == 0 {
		config.MaxBytes = 64 << 20
	}
	var errs []error
	if config.MaxRecords < 0 {
		errs = append(errs, fmt.Errorf("relay: DirectConfig.MaxRecords is %d, want 0 (default) or more", config.MaxRecords))
	}
	if config.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("relay: DirectConfig.MaxBytes is %d, want 0 (default) or more", config.MaxBytes))
	}
	d := &Direct{config: config, changed: make(chan struct{})}
	r, err := New(directQueue{d}, dial, config.Relay)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	d.relay, d.id = r, event.NewID(r.config.Now())
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the life of the sink, ended by Shutdown
	d.cancel = cancel
	d.ended.Go(func() { _ = r.Run(ctx) }) // always nil
	return d, nil
}

// Write takes the records into memory, all or none. It never waits. If there is no room for them they
// are lost and counted, and the error wraps ErrQueueFull.
func (d *Direct) Write(_ context.Context, records []event.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrShutdown
	}
	messages := make([]stream.Message, 0, len(records))
	size := 0
	for i := range records {
		r := records[i]
		r.ProducerID, r.Seq = d.id, d.last+uint64(i)+1
		payload, err := event.Encode(r)
		if err != nil {
			d.dropped += uint64(len(records))
			return fmt.Errorf("relay: %d records are lost: record %q: %w", len(records), r.LogID, err)
		}
		messages = append(messages, stream.Message{ID: r.LogID, Seq: r.Seq, Payload: payload, Properties: properties})
		size += len(payload)
	}
	if len(d.messages)+len(messages) > d.config.MaxRecords || d.bytes+size > d.config.MaxBytes {
		d.dropped += uint64(len(records))
		return fmt.Errorf("%w: %d records are lost, %d wait for the stream", ErrQueueFull, len(records), len(d.messages))
	}
	d.messages = append(d.messages, messages...)
	d.last += uint64(len(messages))
	d.bytes += size
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

// Durable says that what was taken does not outlive the process. It implements audit.DurableSink.
func (d *Direct) Durable() bool { return false }

// properties are the application properties of each message.
var properties = map[string]string{"schema_version": strconv.Itoa(event.SchemaVersion)}

// Flush waits until everything written before is confirmed, or ctx ends; then it gives a
// *PendingError.
func (d *Direct) Flush(ctx context.Context) error { return d.relay.Flush(ctx) }

// Shutdown takes no more records, waits until all are confirmed or ctx ends, and stops. A
// *PendingError says how many are lost. It may be called again.
func (d *Direct) Shutdown(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	err := d.relay.Flush(ctx)
	d.cancel()
	d.ended.Wait()
	return err
}

// DirectStats are the numbers of a Direct at one moment.
type DirectStats struct {
	// Relay has those of the relay.
	Relay Stats
	// Written counts the records taken, Pending those that wait in memory, with PendingBytes of payload,
	// Dropped those that were lost because there was no room or they cannot be encoded.
	Written      uint64
	Pending      uint64
	PendingBytes int
	Dropped      uint64
}

// Stats gives the numbers of now.
func (d *Direct) Stats() DirectStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return DirectStats{Relay: d.relay.Stats(), Written: d.last, Pending: d.last - d.acknowledged, PendingBytes: d.bytes, Dropped: d.dropped}
}

// Producer implements Queue. A name for each process would push lasting ones out of the broker's
// memory, so there is none.
func (q directQueue) Producer() string { return "" }

// Acknowledged implements Queue.
func (q directQueue) Acknowledged() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.acknowledged
}

// Last implements Queue.
func (q directQueue) Last(context.Context) (uint64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last, nil
}

// Read implements Queue.
func (q directQueue) Read(ctx context.Context, after uint64, limit int) ([]stream.Message, error) {
	for {
		q.mu.Lock()
		skip := int(max(after, q.acknowledged) - q.acknowledged)
		changed := q.changed
		if skip < len(q.messages) {
			batch := slices.Clone(q.messages[skip:min(skip+limit, len(q.messages))])
			q.mu.Unlock()
			return batch, nil
		}
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Acknowledge implements Queue.
func (q directQueue) Acknowledge(_ context.Context, seq uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.messages) > 0 && q.messages[0].Seq <= seq {
		q.bytes -= len(q.messages[0].Payload)
		q.messages[0] = stream.Message{} // lets go of the payload
		q.messages = q.messages[1:]
		q.acknowledged++
	}
	return nil
}

// Quarantine implements Queue: there is nowhere to keep it.
func (q directQueue) Quarantine(ctx context.Context, m stream.Message, reason error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped++
	q.relay.config.Logger.ErrorContext(ctx, "relay: a record cannot be sent and is lost", slog.String("log_id", m.ID), slog.Any("error", reason))
	return nil
}
