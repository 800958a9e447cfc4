package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/stream"
)

// Source is the reading end of the stream.
type Source interface {
	stream.Source
	stream.Inspector
}

// OpenFunc makes a Source that begins at the offset.
type OpenFunc func(ctx context.Context, from int64) (Source, error)

// Config says what to replay, and how.
type Config struct {
	// Stream is the name of the stream, which the records carry.
	//
	// Defaults to consumer.DefaultStream.
	Stream string
	// From and To are the first and the last offset of the part. The zero From is the first message; a zero
	// To together with End is the end of the stream as it is when the replay begins.
	From, To int64
	// End says that the part goes on to the end of the stream; To is then not looked at.
	End bool
	// Name tells replays of the same part apart that write to one store.
	Name string
	// Checkpoints, if it is set, keeps how far the replay is, best in the store that it fills.
	Checkpoints consumer.Checkpoints
	// Restart says not to look for an earlier replay that was interrupted.
	Restart bool
	// Progress, if it is set, is told from time to time how far it is. It must not block.
	Progress func(Progress)
	// Interval is how often that is, and how often a checkpoint is kept.
	//
	// Defaults to a second.
	Interval time.Duration
	// Refused, if it is set, is told of each message that cannot be stored, one after the other.
	Refused func(Refusal)
	// Consumer is how batches are made and troubles are waited for. Stream, Group, Checkpoints, Watermarks,
	// AcceptPoison and Partition are set by Run.
	Consumer consumer.Config
}

// Refusal is a message that cannot be stored.
type Refusal struct {
	Offset int64
	// Type is undecodable, refused or conflict. Reason may quote the message: escape it.
	Type, Reason string
}

// Progress is how far a replay is.
type Progress struct {
	Report

	// Last is the offset at which the part ends, about.
	Last int64
}

// Report is what a replay has done.
type Report struct {
	// Read counts messages. Each is one of the next five, once all is settled.
	Read                            int64
	Stored, Duplicates              int64
	Undecodable, Refused, Conflicts int64
	// First is where it began: Config.From, or behind an earlier replay that was interrupted (then Resumed is
	// true), or the first message that the stream still has. Offset is up to where all is done; -1 is
	// nothing.
	First, Offset int64
	Resumed       bool
	// Gone counts offsets at the beginning of the part that the stream no longer has.
	Gone int64
}

// Poison is how many messages could not be stored.
func (r Report) Poison() int64 { return r.Undecodable + r.Refused }

func (c Config) withDefaults() Config {
	if c.Stream == "" {
		c.Stream = consumer.DefaultStream
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Consumer.Now == nil {
		c.Consumer.Now = time.Now
	}
	if c.Consumer.Logger == nil {
		c.Consumer.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.From < 0 {
		errs = append(errs, fmt.Errorf("%w: Config.From is %d, want 0 (first message) or more", ErrConfig, c.From))
	}
	if !c.End && c.To < c.From {
		errs = append(errs, fmt.Errorf("%w: Config.To is %d, want Config.From, %d, or more", ErrConfig, c.To, c.From))
	}
	if c.Interval < 0 {
		errs = append(errs, fmt.Errorf("%w: Config.Interval is %v, want 0 (default) or more", ErrConfig, c.Interval))
	}
	return errors.Join(errs...)
}

// group is the name of the checkpoint.
func (c Config) group() string {
	part := fmt.Sprintf("%d-%d", c.From, c.To)
	if c.End {
		part = fmt.Sprintf("%d-end", c.From)
	}
	name := "replay " + part
	if c.Name != "" {
		name += " " + c.Name
	}
	return name
}
