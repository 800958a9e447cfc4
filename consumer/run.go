package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/stream"
)

// Run carries records until ctx ends, and then gives nil: the batch under way is finished within
// StopTimeout, and the offset committed. It never gives up: whatever fails is tried again. The only
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
	pauses := c.backoff()
	for ctx.Err() == nil {
		c.enter(StateConnecting, nil)
		source, err := c.connect(ctx, &pauses)
		if err != nil {
			break // ctx has ended
		}
		err = c.consume(ctx, work, source, &pauses)
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
	committed = max(committed, c.Stats().Offset)
	if bounds.Empty || bounds.First <= committed+1 {
		return
	}
	missing := bounds.First - committed - 1
	c.count(func(s *Stats) {
		s.Gaps++
		s.Missing += missing
	})
	attrs := []slog.Attr{slog.Int64("from_offset", committed+1), slog.Int64("to_offset", bounds.First-1)}
	if !known {
		c.log.LogAttrs(ctx, slog.LevelWarn, "stream does not begin at its first message and no offset is known: older messages were removed, read or not", attrs...)
		return
	}
	c.log.LogAttrs(ctx, slog.LevelError, "messages were removed from the stream before they were read", attrs...)
}

// consume carries batches from source until it fails or ctx ends. ctx ends reading, work ends writing.
func (c *Consumer) consume(ctx, work context.Context, source Source, pauses *backoff) error {
	p := progress{c: c, source: source, done: -1, committed: -1, at: c.cfg.Now()}
	c.enter(StateRunning, nil)
	for {
		batch, err := c.collect(ctx, source, p.idle())
		if len(batch) > 0 {
			pauses.failures = 0
			c.notices.over("source")
			marks, ok := c.settle(ctx, work, batch)
			if !ok {
				return p.commit(work, true)
			}
			p.finish(batch)
			c.came(ctx, marks)
		}
		if commitErr := p.commit(work, err != nil || ctx.Err() != nil); commitErr != nil {
			return commitErr
		}
		if err != nil {
			return err
		}
	}
}

// collect reads a batch: until it is full, or its first message has waited for BatchAge. It gives what
// it has read with the error that ended it. idle bounds the wait for the first message; after it the
// batch is empty and there is no error.
func (c *Consumer) collect(ctx context.Context, source Source, idle time.Duration) ([]stream.Message, error) {
	first, cancel := ctx, context.CancelFunc(func() {})
	if idle > 0 {
		first, cancel = context.WithTimeout(ctx, idle)
	}
	batch, err := source.Read(first, c.cfg.BatchSize)
	cancel()
	if err != nil && first.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	size := sizeOf(batch)
	linger, cancel := context.WithTimeout(ctx, c.cfg.BatchAge)
	defer cancel()
	for err == nil && len(batch) < c.cfg.BatchSize && size < c.cfg.BatchBytes {
		var more []stream.Message
		if more, err = source.Read(linger, c.cfg.BatchSize-len(batch)); err == nil {
			size += sizeOf(more)
			batch = append(batch, more...)
		}
	}
	c.count(func(s *Stats) { s.Received += int64(len(batch)) })
	if err != nil && linger.Err() != nil {
		err = nil // the batch is old enough, or ctx has ended: that the caller sees itself
	}
	return batch, err
}

func sizeOf(messages []stream.Message) (n int) {
	for _, m := range messages {
		n += len(m.Payload)
	}
	return n
}

// progress knows up to where a source's messages are done and committed.
type progress struct {
	c               *Consumer
	source          Source
	done, committed int64 // -1: nothing
	pending         int   // messages done and not committed
	at              time.Time
}

func (p *progress) finish(batch []stream.Message) {
	p.done = batch[len(batch)-1].Offset
	p.pending += len(batch)
	p.c.count(func(s *Stats) { s.Offset = max(s.Offset, p.done) })
}

// idle is how long to wait for messages before the offset has to be committed, or the producers have to be
// told; 0 is for ever.
func (p *progress) idle() time.Duration {
	if p.done == p.committed {
		return p.c.untold()
	}
	return max(p.c.cfg.CommitInterval-p.c.cfg.Now().Sub(p.at), time.Millisecond)
}

// commit tells the stream how far everything is done, if it is time to, or now.
func (p *progress) commit(ctx context.Context, now bool) error {
	if p.done == p.committed {
		p.c.overdue(ctx, p.committed)
		return nil
	}
	if !now && p.pending < commitEvery && p.c.cfg.Now().Sub(p.at) < p.c.cfg.CommitInterval {
		return nil
	}
	if err := p.source.Commit(ctx, p.done); err != nil {
		return err
	}
	p.committed, p.pending, p.at = p.done, 0, p.c.cfg.Now()
	p.c.count(func(s *Stats) { s.Committed = max(s.Committed, p.committed) })
	p.c.checkpoint(ctx, p.committed, now)
	return nil
}
