package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/stream"
)

// checkpointTimeout bounds one save of a checkpoint: it must not hold up the records.
const checkpointTimeout = 5 * time.Second

// follower knows how far the records of each producer have come.
type follower struct {
	mu       sync.Mutex
	tracker  *checkpoint.Tracker
	offset   int64         // of the checkpoint that was loaded; -1: none
	loaded   bool          // StartAt has given offset
	distrust bool          // the stream is another one than that of the checkpoint
	changed  bool          // since the producers were told
	active   chan struct{} // has a token when StartAt was asked
}

// mark is what the tracker wants to know of a record.
type mark struct {
	producer string
	seq      uint64
	at       time.Time
	gap      *event.Gap
}

func markOf(r event.Record) mark {
	m := mark{producer: r.ProducerID, seq: r.Seq, at: r.Timestamp}
	if g, ok := event.GapOf(r); ok && g.From > 0 {
		m.gap = &g
	}
	return m
}

// StartAt gives the offset behind the checkpoint saved last, for the SourceOptions of the sources that
// the consumer's DialFunc makes: so a consumer begins where it was, whatever offset the stream was told
// by whomever. ok is false without Config.Checkpoints, without a checkpoint, and if the stream
// turned out to be another one than that of the checkpoint. It may be called concurrently.
func (c *Consumer) StartAt(ctx context.Context) (offset int64, ok bool, err error) {
	if c.cfg.Checkpoints == nil {
		return 0, false, nil
	}
	saved, found, err := c.cfg.Checkpoints.Load(ctx, c.cfg.Stream, c.cfg.Group)
	if errors.Is(err, checkpoint.ErrForbidden) || errors.Is(err, checkpoint.ErrFormat) {
		// Nothing to wait for: the stream's own offset will do.
		c.saved(ctx, "use the checkpoint", err)
		found, err = false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer token(c.follow.active)
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	if found {
		c.follow.tracker = checkpoint.NewTracker(saved)
		c.noteMissing()
	}
	if !found || saved.Offset < 0 || c.follow.distrust {
		c.follow.offset, c.follow.loaded = -1, false
		return 0, false, nil
	}
	c.follow.offset, c.follow.loaded = saved.Offset, true
	c.count(func(s *Stats) { s.Offset = max(s.Offset, saved.Offset) })
	return saved.Offset + 1, true, nil
}

// trust reports whether the source began at the right place. Offsets of a stream that was deleted and
// declared again mean nothing: then nobody has committed one although all of the stream is there.
func (c *Consumer) trust(ctx context.Context, known bool, bounds stream.Bounds) bool {
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	if known || !bounds.Empty && bounds.First > 0 {
		return true
	}
	if !c.follow.loaded {
		if !c.follow.distrust && c.Stats().Received == 0 { // all of it will be seen
			c.follow.tracker = checkpoint.NewTracker(completed(c.follow.tracker.Checkpoint()))
		}
		return true
	}
	c.follow.distrust, c.follow.loaded = true, false
	c.log.LogAttrs(ctx, slog.LevelError, "stream knows no offset and has its first message: it is another one than that of the checkpoint, and is read from its beginning",
		slog.Int64("checkpoint", c.follow.offset))
	c.count(func(s *Stats) { s.Offset, s.Committed = -1, -1 })
	return false
}

func completed(c checkpoint.Checkpoint) checkpoint.Checkpoint {
	c.Complete = true
	return c
}

// came notes what has its place now, and raises an alarm if a producer's records are missing between.
func (c *Consumer) came(ctx context.Context, marks []mark) {
	for _, m := range slices.Backward(marks) {
		if !m.at.IsZero() {
			c.count(func(s *Stats) { s.LastRecord = m.at })
			break
		}
	}
	if c.cfg.Partition {
		return
	}
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	var gaps, lost int64
	for _, m := range marks {
		if missing := c.follow.tracker.Came(m.producer, m.seq, m.at); missing.To > 0 {
			gaps++
			if c.notices.due("sequence " + m.producer) {
				c.log.LogAttrs(ctx, slog.LevelError, "records of a producer are missing from the stream; it can send them again while it keeps them",
					slog.String("producer", m.producer), slog.Uint64("from_seq", missing.From), slog.Uint64("to_seq", missing.To),
					slog.String("refill", refillCommand(m.producer, fmt.Sprintf("%d-%d", missing.From, missing.To))))
			}
		}
		if m.gap != nil {
			lost += int64(c.follow.tracker.Lost(m.gap.Producer, checkpoint.Range{From: m.gap.From, To: m.gap.To}))
		}
	}
	c.follow.changed = c.follow.changed || len(marks) > 0
	c.count(func(s *Stats) {
		s.SequenceGaps += gaps
		s.LostRecords += lost
	})
	c.noteMissing()
}

// noteMissing puts into the numbers how many records are missing. The caller holds follow.mu.
func (c *Consumer) noteMissing() {
	missing := int64(c.follow.tracker.Missing())
	c.count(func(s *Stats) { s.MissingRecords = missing })
}

// checkpoint saves how far everything is done. It is a help, and never in the way.
func (c *Consumer) checkpoint(ctx context.Context, offset int64) {
	if c.cfg.Checkpoints == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	point := c.point(offset)
	c.stats.behindSince(c.cfg.Now())
	if c.saved(ctx, "save the checkpoint", c.cfg.Checkpoints.Save(ctx, point)) {
		c.stats.checkpointed(point.At)
		c.follow.mu.Lock()
		defer c.follow.mu.Unlock()
		c.follow.distrust = false // it is one of this stream
	}
}

// point gives the checkpoint at the offset.
func (c *Consumer) point(offset int64) checkpoint.Checkpoint {
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	made := c.follow.tracker.Checkpoint()
	made.Stream, made.Group, made.Offset, made.At = c.cfg.Stream, c.cfg.Group, offset, c.cfg.Now().UTC()
	return made
}

// tell tells the producers what they do not know yet.
func (c *Consumer) tell(ctx context.Context, offset int64) {
	c.follow.mu.Lock()
	news := c.cfg.Watermarks != nil && c.follow.changed
	c.follow.mu.Unlock()
	if !news {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	ok := c.saved(ctx, "tell the producers", c.cfg.Watermarks.Publish(ctx, c.point(offset)))
	failpoint.Hit(failpoint.WatermarkPublished)
	c.follow.mu.Lock()
	defer c.follow.mu.Unlock()
	c.follow.changed = !ok // the settler alone changes it
}

func (c *Consumer) saved(ctx context.Context, what string, err error) bool {
	if err == nil {
		return true
	}
	c.count(func(s *Stats) { s.CheckpointErrors++ })
	if c.notices.due("checkpoint") {
		c.log.WarnContext(ctx, "a checkpoint is not kept; the next will do", slog.String("what", what), slog.Any("error", err))
	}
	return false
}
