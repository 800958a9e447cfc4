package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/stream"
)

// askTimeout bounds a question to the stream that nothing depends on.
const askTimeout = 10 * time.Second

// watch asks from time to time how far behind the consumer is, and looks for what is missing when it has
// become the active one of its group.
func (s *session) watch(alive context.Context) {
	inspector, ok := s.source.(stream.Inspector)
	if !ok {
		return
	}
	s.c.warnOfOneReplica(alive, s.source)
	tick := time.NewTicker(s.c.cfg.LagInterval)
	defer tick.Stop()
	for {
		s.measure(alive, inspector)
		select {
		case <-tick.C:
		case <-s.c.follow.active:
			s.c.lookForGap(alive, s.source)
		case <-alive.Done():
			return
		}
	}
}

// measure asks the stream where it and the group are.
func (s *session) measure(ctx context.Context, inspector stream.Inspector) {
	c := s.c
	now := c.Stats()
	turn, idle := s.idle()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	bounds, err := inspector.Bounds(ctx)
	var committed int64
	var known bool
	if err == nil {
		committed, known, err = inspector.Committed(ctx)
	}
	if err != nil {
		if ctx.Err() == nil || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			c.count(func(s *Stats) { s.Lag, s.Unread = -1, 0 })
			if c.notices.due("lag") {
				c.log.WarnContext(ctx, "cannot see how far behind it is", slog.Any("error", err))
			}
		}
		return
	}
	lag, unread := int64(0), 0.0
	// Who has received something and waits for more has all there is. Entries behind the last message may be
	// commits of an hour in which there was much to do.
	if later, still := s.idle(); !idle || !still || turn != later || !s.received.Load() {
		if !s.received.Load() && known { // perhaps another one of the group is the active one
			now.Offset = max(now.Offset, committed)
		}
		lag, unread = lagOf(bounds, now.Offset, known && committed == now.Offset)
	}
	c.count(func(s *Stats) { s.Lag, s.Unread = lag, unread })
	if unread > 0.5 && c.notices.due("retention") {
		c.log.LogAttrs(ctx, slog.LevelError, "more than half of what the stream keeps is not settled yet: what is older than it keeps is removed, settled or not",
			slog.Int64("lag", lag), slog.Int64("first_offset", bounds.First), slog.Int64("last_offset", bounds.Last))
	}
}

// lagOf gives how many messages are behind the offset, and which share that is of what the stream holds, if it
// has removed any. committed says that the offset was committed last.
func lagOf(bounds stream.Bounds, offset int64, committed bool) (lag int64, unread float64) {
	if bounds.Empty {
		return 0, 0
	}
	if committed {
		offset++ // of the commit itself
	}
	offset = max(offset, bounds.First-1)
	lag = max(bounds.Last-offset, 0)
	if bounds.First > 0 && bounds.Last > bounds.First {
		unread = float64(lag) / float64(bounds.Last-bounds.First+1)
	}
	return lag, unread
}

// warnOfOneReplica warns once of a stream that is lost with one disk.
func (c *Consumer) warnOfOneReplica(ctx context.Context, source Source) {
	counter, ok := source.(interface {
		Replicas(ctx context.Context) (int, error)
	})
	if !ok {
		return
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	n, err := counter.Replicas(asking)
	switch {
	case err != nil && ctx.Err() == nil:
		c.log.DebugContext(ctx, "cannot see how many replicas the stream has", slog.Any("error", err))
	case err == nil && n == 1 && c.oneReplica.CompareAndSwap(false, true):
		c.log.WarnContext(ctx, "the stream has one replica: what the store has not got yet is lost with the broker's disk, but for what the producers' spools still keep")
	}
}
