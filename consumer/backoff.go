package consumer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// backoff counts failures of one thing in a row, and waits longer after each.
type backoff struct {
	low, high time.Duration
	failures  int
}

func (c *Consumer) backoff() backoff {
	return backoff{low: c.cfg.MinBackoff, high: c.cfg.MaxBackoff}
}

// wait pauses, and reports whether ctx still lives. The pause is spread over its whole length, so that
// many consumers do not come back at once.
func (b *backoff) wait(ctx context.Context) bool {
	d := b.high
	if b.failures < 16 {
		d = min(b.low<<b.failures, b.high)
	}
	b.failures++
	t := time.NewTimer(b.low + rand.N(max(d-b.low, 1))) //nolint:gosec // no secret
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// noticeInterval is how often a trouble that lasts is logged.
const noticeInterval = time.Minute

// notices keeps a trouble that lasts from filling the log.
type notices struct {
	now  func() time.Time
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether the kind of trouble should be logged now.
func (n *notices) due(kind string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if last, ok := n.last[kind]; ok && now.Sub(last) < noticeInterval && !now.Before(last) {
		return false
	}
	if n.last == nil {
		n.last = make(map[string]time.Time)
	}
	n.last[kind] = now
	return true
}

// over says that the trouble has ended, and reports whether it had been logged: its next beginning
// is.
func (n *notices) over(kind string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, was := n.last[kind]
	delete(n.last, kind)
	return was
}
