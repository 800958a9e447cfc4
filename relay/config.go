package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gormtrail/audit/stream"
)

// Config is the configuration of a relay. The zero value has the defaults.
type Config struct {
	// Window is how many records may be unconfirmed, at most stream.MaxUnconfirmed.
	//
	// Defaults to 10,000.
	Window int
	// WindowBytes is how many bytes of them may be. One record is always sent.
	//
	// Defaults to 32 MiB.
	WindowBytes int
	// Batch is how many records are read and published at once.
	//
	// Defaults to 500.
	Batch int
	// Linger is how long a batch that is not full waits for more: brokers take few large batches far
	// better than many small ones. Negative: not at all.
	//
	// Defaults to 2 ms.
	Linger time.Duration
	// ConfirmTimeout is how long the broker may confirm nothing, with records unconfirmed, before the
	// connection counts as dead. Only this finds a broker that no longer reads.
	//
	// Defaults to 10 s.
	ConfirmTimeout time.Duration
	// MinPause and MaxPause bound the pause after a failure. It doubles from one to the other, less a
	// random part, and begins anew once something was confirmed.
	//
	// Default to 100 ms and 5 s.
	MinPause, MaxPause time.Duration
	// OrphanInterval is how often Start and RunOrphans look for folders that other processes have left.
	//
	// Defaults to 1 min.
	OrphanInterval time.Duration
	// Logger gets connections that were lost and found, and what could not be sent.
	//
	// Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock of Stats.
	//
	// Defaults to time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	number := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	number(&c.Window, stream.MaxUnconfirmed)
	number(&c.WindowBytes, 32<<20)
	number(&c.Batch, min(500, max(c.Window, 1)))
	duration(&c.Linger, 2*time.Millisecond)
	duration(&c.ConfirmTimeout, 10*time.Second)
	duration(&c.MinPause, 100*time.Millisecond)
	duration(&c.MaxPause, max(5*time.Second, c.MinPause))
	duration(&c.OrphanInterval, time.Minute)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("relay: Config."+format, args...)) }
	if c.Window < 1 || c.Window > stream.MaxUnconfirmed {
		bad("Window is %d, want 0 (default) or 1 to %d", c.Window, stream.MaxUnconfirmed)
	}
	if c.WindowBytes < 1 {
		bad("WindowBytes is %d, want 0 (default) or more", c.WindowBytes)
	}
	if c.Batch < 1 || c.Batch > c.Window {
		bad("Batch is %d, want 0 (default) or 1 to Window, %d", c.Batch, c.Window)
	}
	if c.ConfirmTimeout < 0 {
		bad("ConfirmTimeout is %v, want 0 (default) or more", c.ConfirmTimeout)
	}
	if c.MinPause < 0 || c.MaxPause < c.MinPause {
		bad("MinPause is %v and MaxPause is %v, want 0 (default) or more, in this order", c.MinPause, c.MaxPause)
	}
	if c.OrphanInterval < 0 {
		bad("OrphanInterval is %v, want 0 (default) or more", c.OrphanInterval)
	}
	return errors.Join(errs...)
}
