package capture

import (
	"fmt"
	"time"
)

// Config limits what the engine keeps in memory. The zero Config is the default.
type Config struct {
	// MaxRows is how many rows of one statement are captured one by one; beyond it a Summary stands for
	// all of them.
	//
	// Defaults to 10,000.
	MaxRows int
	// MaxBytes is how many bytes the images of one statement may take; beyond it a Summary stands for
	// all of its rows.
	//
	// Defaults to 32 MiB.
	MaxBytes int64
	// MaxTxBytes is how many bytes the images of one transaction may take; statements that would go
	// beyond it give a Summary.
	//
	// Defaults to 64 MiB.
	MaxTxBytes int64
	// AllowUntested captures databases that no test runs on, and through connection pools that are not
	// known, as well as it can be; what cannot be captured is counted. Without it Install refuses them.
	//
	// Defaults to false.
	AllowUntested bool
	// Now is the clock.
	//
	// Defaults to time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	for _, v := range []struct {
		name  string
		value int64
	}{{"MaxRows", int64(c.MaxRows)}, {"MaxBytes", c.MaxBytes}, {"MaxTxBytes", c.MaxTxBytes}} {
		if v.value < 0 {
			return c, fmt.Errorf("%w: %s is %d, want 0 (default) or more", ErrConfig, v.name, v.value)
		}
	}
	if c.MaxRows == 0 {
		c.MaxRows = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	if c.MaxTxBytes == 0 {
		c.MaxTxBytes = 64 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}
