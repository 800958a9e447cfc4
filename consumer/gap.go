package consumer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gormtrail/audit/stream"
)

// lookForGap raises an alarm if messages were removed from the stream before they were read: the
// stream has begun anew behind the committed offset. It is false if the source must be made again.
func (c *Consumer) lookForGap(ctx context.Context, source Source) bool {
	inspector, ok := source.(stream.Inspector)
	if !ok {
		return true
	}
	committed, known, err := inspector.Committed(ctx)
	if err == nil {
		var bounds stream.Bounds
		if bounds, err = inspector.Bounds(ctx); err == nil {
			if !c.trust(ctx, known, bounds) {
				return false
			}
			c.gap(ctx, committed, known, bounds)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.WarnContext(ctx, "cannot see whether messages are missing", slog.Any("error", err))
	}
	return true
}

func (c *Consumer) gap(ctx context.Context, committed int64, known bool, bounds stream.Bounds) {
	if !known {
		committed = -1
	}
	// What this process has done counts even if retention has removed the committed offset.
	now := c.Stats()
	from, fresh := c.gaps.take(max(committed, now.Offset)+1, bounds)
	if !fresh {
		return
	}
	c.count(func(s *Stats) {
		s.Gaps++
		s.Missing += bounds.First - from
	})
	attrs := []slog.Attr{slog.Int64("from_offset", from), slog.Int64("to_offset", bounds.First-1)}
	if !known && now.Offset < 0 {
		c.log.LogAttrs(ctx, slog.LevelWarn, "stream does not begin at its first message and no offset is known: older messages were removed, read or not", attrs...)
		return
	}
	since := ""
	if at := c.newest(); !at.IsZero() {
		since = at.UTC().Format(time.RFC3339)
	}
	c.log.LogAttrs(ctx, slog.LevelError, "messages were removed from the stream before they were read; their producers can send them again while they keep them",
		append(attrs, slog.String("refill", refillCommand("", since+"/"+c.cfg.Now().UTC().Format(time.RFC3339))))...)
}

// gaps are the offsets that were said to be missing.
type gaps struct {
	mu   sync.Mutex
	said int64 // those below
}

// take gives from where on offsets are missing, next being the first one that is not done; fresh is false if
// none are, or it was said before.
func (g *gaps) take(next int64, bounds stream.Bounds) (from int64, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from = max(next, g.said)
	if bounds.Empty || bounds.First <= from {
		return 0, false
	}
	g.said = bounds.First
	return from, true
}

// refillCommand is what an operator has to run on the host of the producer, see auditlog relay --help.
func refillCommand(producer, within string) string {
	command := "auditlog relay --spool <its spool folder>"
	if producer != "" {
		command += " --producer " + producer
	}
	return command + " --refill " + within
}

// newest gives the time of the newest record that is known to be settled, zero if there is none.
func (c *Consumer) newest() (at time.Time) {
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	for _, p := range c.follow.tracker.Checkpoint().Producers {
		if p.At.After(at) {
			at = p.At
		}
	}
	if last := c.Stats().LastRecord; last.After(at) {
		at = last
	}
	return at
}
