package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/scan"
	"github.com/gormtrail/audit/stream"
)

// Source is the reading end of the stream of dead letters.
type Source interface {
	stream.Source
	stream.Inspector
}

// OpenFunc makes a Source that begins at the offset.
type OpenFunc func(ctx context.Context, from int64) (Source, error)

// Appender adds to the stream of dead letters: rabbit.Appender, or a consumer.DeadLetters of another kind.
type Appender interface {
	Append(ctx context.Context, messages ...stream.Message) error
}

// Config says how a Box works. The zero Config is good.
type Config struct {
	// MaxMessageSize is that of the consumer.
	//
	// Defaults to consumer.DefaultMaxMessageSize.
	MaxMessageSize int
	// Patience is how long Retry waits for a store that takes nothing now.
	//
	// Defaults to 30 s.
	Patience time.Duration
	// Now gives the time of marks. Defaults to time.Now.
	Now func() time.Time
}

// Box is a stream of dead letters. Make one with New.
type Box struct {
	open OpenFunc
	to   Appender
	cfg  Config
}

// New gives a Box. Without an appender it can only be read.
func New(open OpenFunc, to Appender, cfg Config) (*Box, error) {
	cfg = cfg.withDefaults()
	var errs []error
	if open == nil {
		errs = append(errs, fmt.Errorf("%w: no source", ErrConfig))
	}
	if cfg.MaxMessageSize < 0 {
		errs = append(errs, fmt.Errorf("%w: Config.MaxMessageSize is %d, want 0 (default) or more", ErrConfig, cfg.MaxMessageSize))
	}
	if cfg.Patience < 0 {
		errs = append(errs, fmt.Errorf("%w: Config.Patience is %v, want 0 (default) or more", ErrConfig, cfg.Patience))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Box{open: open, to: to, cfg: cfg}, nil
}

// List gives the letters that f chooses, in the order of the stream. The error wraps ErrNotFound and names
// all numbers that no letter has.
func (b *Box) List(ctx context.Context, f Filter) ([]Letter, error) {
	all, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	chosen, err := all.numbered(f.Numbers)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(chosen, func(l Letter) bool { return !f.Matches(l) }), nil
}

// Open gives how many letters are open: what a monitoring asks for.
func (b *Box) Open(ctx context.Context) (int, error) {
	letters, err := b.List(ctx, Filter{})
	return len(letters), err
}

// Message gives a letter with its message as it is on the stream of dead letters: the payload is that of the
// original, byte for byte. The error wraps ErrNotFound if there is no such letter.
func (b *Box) Message(ctx context.Context, number int64) (Letter, stream.Message, error) {
	letters, err := b.List(ctx, Filter{Numbers: []int64{number}, All: true})
	if err != nil {
		return Letter{}, stream.Message{}, err
	}
	var message stream.Message
	err = b.each(ctx, letters, func(_ Letter, m stream.Message) error {
		message = m
		return nil
	})
	return letters[0], message, err
}

// Drop marks the letters as not needed. by says who decides that, and why; both are kept with the time.
func (b *Box) Drop(ctx context.Context, letters []Letter, by, why string) error {
	if strings.TrimSpace(by) == "" {
		return fmt.Errorf("%w: who drops is %q, want a name", ErrWho, by)
	}
	if strings.TrimSpace(why) == "" {
		return fmt.Errorf("%w: the reason for the drop is %q, want one", ErrWho, why)
	}
	return b.mark(ctx, Mark{Kind: KindDropped, By: by, Reason: why}, letters...)
}

// mark adds a mark for the letters.
func (b *Box) mark(ctx context.Context, mark Mark, letters ...Letter) error {
	if b.to == nil {
		return fmt.Errorf("%w: no appender, so that nothing can be marked", ErrConfig)
	}
	for part := range slices.Chunk(letters, markLetters) {
		mark.At, mark.Letters = b.cfg.Now().UTC(), nil
		for _, l := range part {
			mark.Letters = append(mark.Letters, l.Number)
		}
		m, err := mark.message()
		if err != nil {
			return err
		}
		if err := b.to.Append(ctx, m); err != nil {
			return fmt.Errorf("deadletter: mark %d letters as %s: %w", len(part), mark.Kind, err)
		}
		failpoint.Hit(failpoint.DLQWritten)
	}
	return nil
}

// read reads the whole stream.
func (b *Box) read(ctx context.Context) (*content, error) {
	all := newContent()
	err := b.scan(ctx, 0, -1, func(batch []stream.Message) error {
		for _, m := range batch {
			all.take(m)
		}
		return nil
	})
	return all, err
}

func (b *Box) scan(ctx context.Context, from, last int64, f func([]stream.Message) error) error {
	source, err := b.open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if err := scan.All(ctx, source, last, f); err != nil {
		return fmt.Errorf("deadletter: read the dead letters: %w", err)
	}
	return nil
}

// each calls f with the message of each of the letters, which are ascending.
func (b *Box) each(ctx context.Context, letters []Letter, f func(Letter, stream.Message) error) error {
	if len(letters) == 0 {
		return nil
	}
	err := b.scan(ctx, letters[0].Number, letters[len(letters)-1].Number, func(batch []stream.Message) error {
		for _, m := range batch {
			for len(letters) > 0 && letters[0].Number < m.Offset {
				return fmt.Errorf("%w: %d, which retention has removed", ErrNotFound, letters[0].Number)
			}
			if len(letters) == 0 || letters[0].Number != m.Offset {
				continue
			}
			if err := f(letters[0], m); err != nil {
				return err
			}
			letters = letters[1:]
		}
		return nil
	})
	if err == nil && len(letters) > 0 {
		err = fmt.Errorf("%w: %d", ErrNotFound, letters[0].Number)
	}
	return err
}

// numbered gives the letters with these numbers, or all if there are none.
func (c *content) numbered(numbers []int64) ([]Letter, error) {
	if len(numbers) == 0 {
		return c.list(), nil
	}
	var chosen []Letter
	var errs []error
	seen := make(map[int64]bool)
	for _, n := range numbers {
		l := c.byPlace[n]
		if l == nil {
			errs = append(errs, fmt.Errorf("%w: %d", ErrNotFound, n))
			continue
		}
		if !seen[l.Number] {
			seen[l.Number] = true
			chosen = append(chosen, *l)
		}
	}
	slices.SortFunc(chosen, func(x, y Letter) int { return int(x.Number - y.Number) })
	return chosen, errors.Join(errs...)
}
