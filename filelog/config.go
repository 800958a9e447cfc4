package filelog

import (
	"errors"
	"fmt"
	"time"
)

// Config is the configuration of a Log. The zero value has the defaults.
type Config struct {
	// MaxSize is the size in MiB at which a file is rotated.
	//
	// Defaults to 100.
	MaxSize int
	// MaxBackups is how many rotated files are kept. Negative: all.
	//
	// Defaults to 10.
	MaxBackups int
	// MaxAge is how long rotated files are kept, in whole days.
	//
	// Defaults to 0: age does not matter.
	MaxAge time.Duration
	// Compress compresses rotated files with gzip.
	//
	// Defaults to false.
	Compress bool
}

const day = 24 * time.Hour

func (c Config) withDefaults() Config {
	if c.MaxSize == 0 {
		c.MaxSize = 100
	}
	if c.MaxBackups == 0 {
		c.MaxBackups = 10
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.MaxSize < 1 {
		errs = append(errs, fmt.Errorf("filelog: Config.MaxSize is %d, want 0 (default) or more", c.MaxSize))
	}
	if c.MaxAge < 0 || c.MaxAge%day != 0 {
		errs = append(errs, fmt.Errorf("filelog: Config.MaxAge is %v, want 0 (default) or whole days", c.MaxAge))
	}
	return errors.Join(errs...)
}
