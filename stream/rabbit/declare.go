package rabbit

import (
	"context"
	"errors"
	"fmt"
	"time"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"
)

// Limits bound a stream. RabbitMQ removes whole segments, oldest first, whether they were read or not:
// choose the limits longer than the longest outage of the readers. Zero is no limit.
type Limits struct {
	// MaxAge removes segments whose newest message is older; RabbitMQ looks at it only when something
	// is written.
	MaxAge time.Duration
	// MaxBytes removes segments when the stream is larger. It should be at least ten segments.
	MaxBytes int64
	// SegmentBytes is the size of a segment, at most 3 GB.
	//
	// Defaults to the server's, which is 500 MB.
	SegmentBytes int64
}

func (l Limits) validate() error {
	var errs []error
	if l.MaxAge < 0 || l.MaxAge > 0 && l.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("rabbit: Limits.MaxAge is %v, want 0 (no limit) or at least 1s", l.MaxAge))
	}
	if l.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("rabbit: Limits.MaxBytes is %d, want 0 (no limit) or more", l.MaxBytes))
	}
	if l.SegmentBytes < 0 || l.SegmentBytes > 3_000_000_000 {
		errs = append(errs, fmt.Errorf("rabbit: Limits.SegmentBytes is %d, want 0 (default) to 3000000000", l.SegmentBytes))
	}
	return errors.Join(errs...)
}

// Declare makes the stream, or with Config.Partitions the super stream, if it does not exist. If it
// exists with other limits, the error wraps ErrDeclared, and ErrPartitions with another number of
// partitions; the limits of a super stream that exists are not compared. It needs the permission to
// configure, which publishers and sources do not.
func Declare(ctx context.Context, config Config, limits Limits) error {
	if err := limits.validate(); err != nil {
		return err
	}
	if config.Partitions > 0 {
		return declareSuper(ctx, config, limits)
	}
	return do(ctx, config, "declare stream", func(env *client.Environment, name string) error {
		options := client.NewStreamOptions().SetMaxAge(limits.MaxAge)
		if limits.MaxBytes > 0 {
			options.SetMaxLengthBytes(client.ByteCapacity{}.B(limits.MaxBytes))
		}
		if limits.SegmentBytes > 0 {
			options.SetMaxSegmentSizeBytes(client.ByteCapacity{}.B(limits.SegmentBytes))
		}
		return env.DeclareStream(name, options)
	})
}

func declareSuper(ctx context.Context, config Config, limits Limits) error {
	return do(ctx, config, "declare super stream", func(env *client.Environment, name string) error {
		options := client.NewPartitionsOptions(config.Partitions).SetMaxAge(limits.MaxAge)
		if limits.MaxBytes > 0 {
			options.SetMaxLengthBytes(client.ByteCapacity{}.B(limits.MaxBytes))
		}
		if limits.SegmentBytes > 0 {
			options.SetMaxSegmentSizeBytes(client.ByteCapacity{}.B(limits.SegmentBytes))
		}
		if err := env.DeclareSuperStream(name, options); err != nil {
			return err
		}
		_, err := partitions(env, name, config.Partitions) // one that exists may have others
		return err
	})
}

// Exists gives nil if the stream, or with Config.Partitions the super stream, is there and can be
// written to. If it is not there, the error wraps stream.ErrNotExist. It needs no permission to
// configure.
func Exists(ctx context.Context, config Config) error {
	p, err := Dialer(config)(ctx, "")
	if err != nil {
		return err
	}
	return p.Close()
}

// Delete removes the stream with all its messages and offsets. If there is none, the error wraps
// stream.ErrNotExist.
func Delete(ctx context.Context, config Config) error {
	return do(ctx, config, "delete stream", func(env *client.Environment, name string) error {
		if config.Partitions > 0 {
			return env.DeleteSuperStream(name)
		}
		return env.DeleteStream(name)
	})
}

// do connects, calls f and closes the connection.
func do(ctx context.Context, config Config, what string, f func(env *client.Environment, name string) error) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config = config.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	env, err := connect(ctx, config)
	if err != nil {
		return err
	}
	_, err = ask(ctx, env, func() (struct{}, error) { return struct{}{}, f(env.Environment, config.Stream) }, func(struct{}) {})
	closeWithin(env.close)
	return config.explain(what, err)
}
