package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/stream"
)

// Names that producers, consumers and operators agree on, unless they choose others.
const (
	DefaultGroup       = "audit-log-consumer" // name under which the broker keeps the offset
	DefaultDeadLetters = "audit_logs_dlq"     // stream for messages that cannot be stored
)

// Defaults of Config.
const (
	DefaultStream         = stream.DefaultName
	DefaultBatchSize      = 1000
	DefaultBatchBytes     = 4 << 20
	DefaultBatchAge       = 200 * time.Millisecond
	DefaultMaxMessageSize = 1 << 20
	DefaultCommitInterval = time.Second
	DefaultMinBackoff     = 100 * time.Millisecond
	DefaultMaxBackoff     = 30 * time.Second
	DefaultStopTimeout    = 10 * time.Second

	DefaultWatermarkInterval = 10 * time.Second

	DefaultMaxInFlight  = 4
	DefaultMaxHeldBytes = 64 << 20
	DefaultPoisonWindow = 200
	DefaultLagInterval  = 5 * time.Second
)

// commitEvery is after how many messages the offset is committed even within CommitInterval.
const commitEvery = 10_000

// Config says how records are carried. The zero Config is good for most.
type Config struct {
	// Stream is the name of the stream, which stored records and dead letters carry.
	//
	// Defaults to DefaultStream.
	Stream string
	// Group is the name of the group, for checkpoints.
	//
	// Defaults to DefaultGroup.
	Group string
	// Name labels this consumer in logs, to tell several of a group apart.
	Name string
	// BatchSize and BatchBytes say how much is written at once: a batch is full when it has so many
	// messages or at least so many bytes.
	//
	// Default to DefaultBatchSize, 1000, and DefaultBatchBytes, 4 MiB.
	BatchSize, BatchBytes int
	// BatchAge is how long the first message of a batch waits for others: what it takes at least until
	// a record can be found.
	//
	// Defaults to DefaultBatchAge, 200 ms.
	BatchAge time.Duration
	// MaxInFlight is how many batches are written at the same time at most. How many are depends on the
	// store: two at first, one more while it takes them, and half of them when it is overloaded.
	//
	// Defaults to DefaultMaxInFlight, 4.
	MaxInFlight int
	// MaxHeld and MaxHeldBytes bound the memory: how many messages are held at most that were read and
	// are not settled, and with how many bytes of payload reading stops. What is behind a message that
	// cannot be settled is held with it. A batch more may come to MaxHeldBytes, and what the source reads
	// ahead to both.
	//
	// Default to twice MaxInFlight times BatchSize, 8,000, and DefaultMaxHeldBytes, 64 MiB.
	MaxHeld, MaxHeldBytes int
	// PoisonWindow is of how many of the last records more than half must be unfit to be stored (100 at
	// least) for the consumer to stop with StateSuspended: a wrong mapping, version or server then, and
	// not the records. It tries again and again, and goes on when they can be stored.
	//
	// Defaults to DefaultPoisonWindow, 200.
	PoisonWindow int
	// AcceptPoison is for how long after the start of Run records become dead letters however many they are:
	// the word of an operator who has looked at them.
	//
	// Defaults to 0, never.
	AcceptPoison time.Duration
	// LagInterval is how often the stream is asked how far behind the consumer is.
	//
	// Defaults to DefaultLagInterval, 5 s.
	LagInterval time.Duration
	// MaxMessageSize is the largest message in bytes that is looked at; larger ones are dead letters.
	//
	// Defaults to DefaultMaxMessageSize, 1 MiB.
	MaxMessageSize int
	// CommitInterval is how often the offset is committed at most, for each commit takes a place in
	// the stream. After a crash so much is read again.
	//
	// Defaults to DefaultCommitInterval, one second.
	CommitInterval time.Duration
	// MinBackoff and MaxBackoff bound the pause before something is tried again; it doubles, and is
	// spread at random.
	//
	// Default to DefaultMinBackoff, 100 ms, and DefaultMaxBackoff, 30 s.
	MinBackoff, MaxBackoff time.Duration
	// StopTimeout is how long the batches that are being written may take after Run was told to stop.
	//
	// Defaults to DefaultStopTimeout, 10 s.
	StopTimeout time.Duration
	// Checkpoints, if it is set, keeps a checkpoint for each commit of the offset. Sources that are made with
	// the consumer's StartAt then begin behind it, whatever offset the stream was told.
	Checkpoints Checkpoints
	// Watermarks, if it is set, is told every WatermarkInterval how far the records of each producer have
	// come, if they came any further.
	Watermarks Watermarks
	// WatermarkInterval defaults to DefaultWatermarkInterval, 10 s.
	WatermarkInterval time.Duration
	// Partition says that the stream is one of several partitions, so that sequences of a producer that
	// do not come may be in another one: nothing is then said of missing records.
	Partition bool
	// Now gives the time for ingested_at and x-first-failed. Defaults to time.Now.
	Now func() time.Time
	// Logger takes what an operator should know: never the content of records. Defaults to
	// slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	setText(&c.Stream, DefaultStream)
	setText(&c.Group, DefaultGroup)
	setNumber(&c.BatchSize, DefaultBatchSize)
	setNumber(&c.BatchBytes, DefaultBatchBytes)
	setNumber(&c.BatchAge, DefaultBatchAge)
	setNumber(&c.MaxMessageSize, DefaultMaxMessageSize)
	setNumber(&c.CommitInterval, DefaultCommitInterval)
	setNumber(&c.MinBackoff, DefaultMinBackoff)
	setNumber(&c.MaxBackoff, DefaultMaxBackoff)
	setNumber(&c.StopTimeout, DefaultStopTimeout)
	setNumber(&c.WatermarkInterval, DefaultWatermarkInterval)
	setNumber(&c.MaxInFlight, DefaultMaxInFlight)
	setNumber(&c.MaxHeld, 2*c.MaxInFlight*c.BatchSize)
	setNumber(&c.MaxHeldBytes, DefaultMaxHeldBytes)
	setNumber(&c.PoisonWindow, DefaultPoisonWindow)
	setNumber(&c.LagInterval, DefaultLagInterval)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setText(s *string, preset string) {
	if *s == "" {
		*s = preset
	}
}

func setNumber[N int | time.Duration](n *N, preset N) {
	if *n == 0 {
		*n = preset
	}
}

func (c Config) validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
		text  any
	}{
		{"BatchSize", int64(c.BatchSize), c.BatchSize},
		{"BatchBytes", int64(c.BatchBytes), c.BatchBytes},
		{"BatchAge", int64(c.BatchAge), c.BatchAge},
		{"MaxMessageSize", int64(c.MaxMessageSize), c.MaxMessageSize},
		{"CommitInterval", int64(c.CommitInterval), c.CommitInterval},
		{"MinBackoff", int64(c.MinBackoff), c.MinBackoff},
		{"MaxBackoff", int64(c.MaxBackoff), c.MaxBackoff},
		{"StopTimeout", int64(c.StopTimeout), c.StopTimeout},
		{"WatermarkInterval", int64(c.WatermarkInterval), c.WatermarkInterval},
		{"MaxInFlight", int64(c.MaxInFlight), c.MaxInFlight},
		{"MaxHeld", int64(c.MaxHeld), c.MaxHeld},
		{"MaxHeldBytes", int64(c.MaxHeldBytes), c.MaxHeldBytes},
		{"PoisonWindow", int64(c.PoisonWindow), c.PoisonWindow},
		{"AcceptPoison", int64(c.AcceptPoison), c.AcceptPoison},
		{"LagInterval", int64(c.LagInterval), c.LagInterval},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%w: Config.%s is %v, want 0 (default) or more", ErrConfig, f.name, f.text))
		}
	}
	if c.MinBackoff > c.MaxBackoff {
		errs = append(errs, fmt.Errorf("%w: Config.MinBackoff is %v, more than Config.MaxBackoff, %v", ErrConfig, c.MinBackoff, c.MaxBackoff))
	}
	if c.MaxHeld > 0 && c.MaxHeld < c.BatchSize {
		errs = append(errs, fmt.Errorf("%w: Config.MaxHeld is %d, want at least Config.BatchSize, %d", ErrConfig, c.MaxHeld, c.BatchSize))
	}
	if c.PoisonWindow > 0 && c.PoisonWindow < guardMin {
		errs = append(errs, fmt.Errorf("%w: Config.PoisonWindow is %d, want at least %d", ErrConfig, c.PoisonWindow, guardMin))
	}
	return errors.Join(errs...)
}
