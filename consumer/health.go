package consumer

import (
	"fmt"
	"sync"
	"time"
)

const (
	// beatInterval is how often a consumer shows at least that it lives, and beatTimeout after what silence it
	// does not: longer than it waits for any answer.
	beatInterval = time.Second
	beatTimeout  = 3 * time.Minute
)

// life knows when the consumer has last come round.
type life struct {
	mu   sync.Mutex
	last time.Time
}

func (c *Consumer) beat() {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	c.life.last = time.Now() //nolint:forbidigo // monotonic: a clock that jumps is no deadlock
}

// Health is nil while Run comes round, also if it waits for the stream or the store, and while it is not
// running. Else something in the process hangs that should not, and only a restart helps: it is what a
// probe of liveness wants to know. It may be called at any time.
func (c *Consumer) Health() error {
	if !c.running.Load() {
		return nil
	}
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	if silent := time.Since(c.life.last); silent > beatTimeout {
		return fmt.Errorf("consumer: %s: has not come round for %v", c.cfg.Stream, silent.Round(time.Second))
	}
	return nil
}

// Ready is nil while the consumer is connected, what it writes is taken, and at most maxLag messages are
// not settled; 0 is no limit. One that waits for its turn in a group is ready. It may be called at any time.
func (c *Consumer) Ready(maxLag int64) error {
	s := c.Stats()
	switch {
	case s.State != StateRunning && s.LastError != "":
		return fmt.Errorf("consumer: %s: is %s: %s", c.cfg.Stream, s.State, s.LastError)
	case s.State != StateRunning:
		return fmt.Errorf("consumer: %s: is %s", c.cfg.Stream, s.State)
	case maxLag > 0 && s.Lag < 0:
		return fmt.Errorf("consumer: %s: does not know yet how far it is behind", c.cfg.Stream)
	case maxLag > 0 && s.Lag > maxLag:
		return fmt.Errorf("consumer: %s: is %d messages behind, the limit is %d", c.cfg.Stream, s.Lag, maxLag)
	}
	return nil
}
