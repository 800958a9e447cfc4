package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Run carries records until ctx ends, and then gives nil: the batches that are being written are finished
// within StopTimeout, and the offset committed. It never gives up: whatever fails is tried again. The only
// error is a second Run at the same time.
func (c *Consumer) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("consumer: is running already")
	}
	defer c.running.Store(false)
	// Work goes on for a while after ctx has ended.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(c.cfg.StopTimeout)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-work.Done():
		}
	})
	defer stop()

	c.log.InfoContext(ctx, "consumer starts")
	if c.cfg.AcceptPoison > 0 {
		c.guard.arm(false)
		armed := time.AfterFunc(c.cfg.AcceptPoison, func() { c.guard.arm(true) })
		defer armed.Stop()
		c.log.WarnContext(ctx, "whatever cannot be stored becomes a dead letter for a while, however much it is", slog.Duration("accept_poison", c.cfg.AcceptPoison))
	}
	pauses := c.backoff()
	for ctx.Err() == nil {
		c.beat()
		c.enter(StateConnecting, nil)
		source, err := c.connect(ctx, &pauses)
		if err != nil {
			break // ctx has ended
		}
		err = c.session(ctx, work, source, &pauses)
		_ = source.Close()
		if ctx.Err() != nil {
			break
		}
		c.count(func(s *Stats) { s.Reconnects++ })
		c.enter(StateConnecting, err)
		if c.notices.due("source") {
			c.log.WarnContext(ctx, "source was lost, making a new one", slog.Any("error", err))
		}
		if !pauses.wait(ctx) {
			break
		}
	}
	c.enter(StateStopped, nil)
	s := c.Stats()
	c.log.InfoContext(ctx, "consumer has stopped", slog.Int64("received", s.Received), slog.Int64("stored", s.Stored),
		slog.Int64("duplicates", s.Duplicates), slog.Int64("dead_lettered", s.DeadLettered), slog.Int64("committed", s.Committed))
	return nil
}

// connect makes a source, however long it takes. The error is the end of ctx.
func (c *Consumer) connect(ctx context.Context, pauses *backoff) (Source, error) {
	for {
		c.beat()
		source, err := c.dial(ctx)
		if err == nil {
			c.notices.over("connect")
			c.log.InfoContext(ctx, "reads the stream")
			if c.lookForGap(ctx, source) {
				return source, nil
			}
			_ = source.Close() // begins at the wrong place
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.enter(StateConnecting, err)
		if c.notices.due("connect") {
			c.log.WarnContext(ctx, "no source, trying again", slog.Any("error", err))
		}
		if !pauses.wait(ctx) {
			return nil, ctx.Err()
		}
	}
}
