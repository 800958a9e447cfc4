package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// Source is the reading end of a stream; see stream.Source for what its methods promise. If it also
// is a stream.Inspector, the consumer finds out whether messages were removed before it read them, and how
// far it is behind. If it has a method Replicas(ctx) (int, error), the consumer warns of a single one.
type Source interface {
	Read(ctx context.Context, limit int) ([]stream.Message, error)
	Commit(ctx context.Context, offset int64) error
	Close() error
}

// DialFunc makes a new Source that begins behind the offset committed last. It is called at the start
// and whenever the source has failed.
type DialFunc func(ctx context.Context) (Source, error)

// Store takes records; see store.Writer for what Write promises.
type Store interface {
	Write(ctx context.Context, docs []store.Doc) ([]store.Result, error)
}

// DeadLetters takes messages that cannot be stored. When Append returns nil, they are kept. It sets
// Seq itself. A message that is too large for it is a *stream.TooLargeError.
type DeadLetters interface {
	Append(ctx context.Context, messages ...stream.Message) error
}

// Checkpoints keeps the consumer's checkpoints, the newest of each stream and group.
type Checkpoints interface {
	Save(ctx context.Context, c checkpoint.Checkpoint) error
	// Load gives the checkpoint saved last for the stream of that name and the group; ok is false if there is none.
	Load(ctx context.Context, of, group string) (c checkpoint.Checkpoint, ok bool, err error)
}

// Watermarks tells the producers how far their records have come.
type Watermarks interface {
	Publish(ctx context.Context, c checkpoint.Checkpoint) error
}

// Consumer carries records from a stream to a store. Make one with New.
type Consumer struct {
	dial    DialFunc
	store   Store
	letters DeadLetters
	cfg     Config
	log     *slog.Logger
	notices notices
	running atomic.Bool
	stats   stats
	follow  follower
	gate    *gate
	guard   guard
	life    life
	gaps    gaps

	oneReplica atomic.Bool // it was said that there is only one
}

// New gives a Consumer that does nothing before Run. The error wraps ErrConfig and names all that is
// wrong.
func New(dial DialFunc, to Store, letters DeadLetters, cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	errs := []error{cfg.validate()}
	if dial == nil {
		errs = append(errs, fmt.Errorf("%w: no source", ErrConfig))
	}
	if to == nil {
		errs = append(errs, fmt.Errorf("%w: no store", ErrConfig))
	}
	if letters == nil {
		errs = append(errs, fmt.Errorf("%w: no dead letters: a record that cannot be stored would be lost", ErrConfig))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	log := cfg.Logger.With(slog.String("stream", cfg.Stream))
	if cfg.Name != "" {
		log = log.With(slog.String("consumer", cfg.Name))
	}
	c := &Consumer{dial: dial, store: to, letters: letters, cfg: cfg, log: log, notices: notices{now: cfg.Now}}
	c.gate, c.guard.size = newGate(cfg), cfg.PoisonWindow
	c.life.last = time.Now() //nolint:forbidigo // how long ago something was does not depend on the clock of the records
	c.follow.active = make(chan struct{}, 1)
	c.follow.tracker, c.follow.offset = checkpoint.NewTracker(checkpoint.Checkpoint{}), -1
	return c, nil
}
