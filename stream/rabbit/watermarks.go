package rabbit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/stream"
)

// watermarks is added to the name of a stream for that of its watermarks.
const watermarks = "_watermarks"

// WatermarkLimits are good for the stream of the watermarks, of which only the newest message of each
// group counts.
var WatermarkLimits = Limits{MaxBytes: 20 << 20, SegmentBytes: 2 << 20} //nolint:gochecknoglobals // a constant

// catchUp bounds the wait for what the stream has at its end.
const catchUp = 5 * time.Second

// Watermarks are the checkpoints of a group of consumers on a small stream of their own: how far the
// records of each producer have come. A consumer publishes them, and the queues of the producers ask
// for them, who can read this stream but need no access to the store. Its methods may be called
// concurrently. It connects when it is first used, and again after a failure.
type Watermarks struct {
	config        Config
	records       string
	group         string
	appender      *Appender
	calls         chan struct{} // holds one token: one call at a time reads
	mu            sync.Mutex
	source        *Source
	last          checkpoint.Checkpoint
	closed, known bool
}

// WatermarksOf gives the configuration of the stream that has the watermarks of a stream of records: its name
// with _watermarks behind it.
func WatermarksOf(records Config) Config {
	if records.Stream == "" {
		records.Stream = DefaultStream
	}
	records.Stream, records.Partitions = records.Stream+watermarks, 0
	return records
}

// NewWatermarks gives the watermarks of a stream of records and the group of consumers that reads it. They
// are on the stream WatermarksOf(records), which Declare makes with WatermarkLimits. A super stream has none,
// as a sequence that one partition lacks may be in another.
func NewWatermarks(records Config, group string) (*Watermarks, error) {
	if records.Partitions > 0 {
		return nil, fmt.Errorf("rabbit: Config.Partitions is %d: a super stream has no watermarks", records.Partitions)
	}
	config := WatermarksOf(records)
	appender, err := NewAppender(config)
	if err != nil {
		return nil, err
	}
	return &Watermarks{
		config: config, records: strings.TrimSuffix(config.Stream, watermarks), group: group,
		appender: appender, calls: make(chan struct{}, 1),
	}, nil
}

// Publish adds the checkpoint to the stream.
func (w *Watermarks) Publish(ctx context.Context, c checkpoint.Checkpoint) error {
	data, err := checkpoint.Encode(c)
	if err != nil {
		return err
	}
	return w.appender.Append(ctx, stream.Message{Payload: data})
}

// Progress gives what the newest checkpoint says of the producer; ok is false if there is none, or it does
// not know the producer. Checkpoints of other streams and groups, and what is none, are passed over.
func (w *Watermarks) Progress(ctx context.Context, producer string) (p checkpoint.Progress, ok bool, err error) {
	select {
	case w.calls <- struct{}{}:
		defer func() { <-w.calls }()
	case <-ctx.Done():
		return checkpoint.Progress{}, false, fmt.Errorf("rabbit: read the watermarks: %w", ctx.Err())
	}
	if err := w.read(ctx); err != nil {
		return checkpoint.Progress{}, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok = w.last.Producers[producer]
	return p, ok && w.known, nil
}

// IndexedUpTo gives the highest sequence, at least after and at most upTo, up to which the store has
// all records of the producer. It is a spool.Index.
func (w *Watermarks) IndexedUpTo(ctx context.Context, producer string, after, upTo uint64) (uint64, error) {
	p, ok, err := w.Progress(ctx, producer)
	if err != nil || !ok {
		return after, err
	}
	return max(after, min(p.Indexed(), upTo)), nil
}

// read takes what the stream has and this process has not seen. Only one call at a time is let in.
func (w *Watermarks) read(ctx context.Context) error {
	w.mu.Lock()
	source, closed := w.source, w.closed
	w.mu.Unlock()
	if closed {
		return stream.ErrClosed
	}
	patience := 10 * time.Millisecond // what is new comes by itself, and the next call takes it
	if source == nil {
		last, empty, err := w.end(ctx)
		if err != nil || empty {
			return err
		}
		options := stream.SourceOptions{
			Buffer:  64,
			StartAt: func(context.Context) (int64, bool, error) { return last, true, nil },
		}
		if source, err = NewSource(ctx, w.config, "audit-watermarks", options); err != nil {
			return err
		}
		if !w.keep(source) {
			return stream.ErrClosed
		}
		patience = catchUp
	}
	for {
		waiting, cancel := context.WithTimeout(ctx, patience)
		messages, err := source.Read(waiting, 64)
		cancel()
		switch {
		case err == nil:
			w.take(messages)
			patience = 10 * time.Millisecond
		case ctx.Err() != nil:
			return fmt.Errorf("rabbit: read the watermarks: %w", ctx.Err())
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			w.drop(source)
			return err
		}
	}
}

// end gives an offset at which, or a little before which, the newest message is.
func (w *Watermarks) end(ctx context.Context) (last int64, empty bool, err error) {
	err = do(ctx, w.config, "ask for the statistics of", func(env *client.Environment, name string) error {
		stats, err := env.StreamStats(name)
		if err != nil {
			return err
		}
		if last, err = stats.CommittedChunkId(); err != nil {
			empty = true
		}
		return nil
	})
	return last, empty, err
}

func (w *Watermarks) keep(source *Source) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = source.Close()
		return false
	}
	w.source = source
	return true
}

func (w *Watermarks) drop(source *Source) {
	_ = source.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.source = nil
}

func (w *Watermarks) take(messages []stream.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		c, err := checkpoint.Decode(m.Payload)
		if err == nil && c.Stream == w.records && c.Group == w.group {
			w.last, w.known = c, true
		}
	}
}

// Close releases the connections. It may be called again.
func (w *Watermarks) Close() error {
	w.mu.Lock()
	source := w.source
	w.source, w.closed = nil, true
	w.mu.Unlock()
	if source != nil {
		_ = source.Close()
	}
	return w.appender.Close()
}
