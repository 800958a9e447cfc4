package audittest

import (
	"sync"
	"time"
)

// Start is when a clock of NewClock stands.
var Start = time.Date(2024, time.January, 2, 3, 4, 5, 0, time.UTC)

// Clock is a clock that stands still until it is told. Its Now is for audit.Config.Clock, and for
// gorm.Config.NowFunc so that created_at and updated_at are the same in each run. It may be used concurrently.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock gives a clock that stands at Start.
func NewClock() *Clock { return &Clock{now: Start} }

// Now gives the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d; back if it is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set moves the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}
