package deadletter

import (
	"time"

	"github.com/gormtrail/audit/consumer"
)

// DefaultPatience is the default of Config.Patience.
const DefaultPatience = 30 * time.Second

func (c Config) withDefaults() Config {
	if c.MaxMessageSize == 0 {
		c.MaxMessageSize = consumer.DefaultMaxMessageSize
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
