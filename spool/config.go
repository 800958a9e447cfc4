package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config is the configuration of a spool. The zero value has the defaults.
type Config struct {
	// Service is the first part of the producer name, service/uuid, of a new folder: up to 200 letters,
	// digits and . _ - of ASCII. A folder that was taken over keeps its name: the stream knows the
	// producer by it.
	//
	// Defaults to "audit".
	Service string
	// MaxBytes is how large the segments of one process may become. When they are, segments that were
	// acknowledged go early; if there are none, Write waits and then fails.
	//
	// Defaults to 1 GiB.
	MaxBytes int64
	// SegmentBytes is the size at which a new segment begins, from 4 KiB.
	//
	// Defaults to 16 MiB.
	SegmentBytes int64
	// Retention is how long acknowledged segments are kept, so that a broker that has lost its end can
	// be filled again. Negative: not at all.
	//
	// Defaults to 24 h.
	Retention time.Duration
	// BlockTimeout is how long Write waits for room in a full spool. Negative: not at all.
	//
	// Defaults to 250 ms.
	BlockTimeout time.Duration
	// CommitTimeout is how long Write waits for the disk.
	//
	// Defaults to 5 s.
	CommitTimeout time.Duration
	// Logger gets what an operator must know: damage, adopted folders, failed syncs.
	//
	// Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock.
	//
	// Defaults to time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Service == "" {
		c.Service = "audit"
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = min(16<<20, c.MaxBytes/4)
		c.SegmentBytes = max(c.SegmentBytes, minSegment)
	}
	if c.Retention == 0 {
		c.Retention = 24 * time.Hour
	}
	if c.BlockTimeout == 0 {
		c.BlockTimeout = 250 * time.Millisecond
	}
	if c.CommitTimeout == 0 {
		c.CommitTimeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const minSegment = 4 << 10

var serviceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("spool: Config."+format, args...)) }
	if !serviceName.MatchString(c.Service) {
		bad("Service is %.210q, want up to 200 letters, digits and . _ - of ASCII", c.Service)
	}
	if c.SegmentBytes < minSegment || c.SegmentBytes > 1<<30 {
		bad("SegmentBytes is %d, want 0 (default) or %d to %d", c.SegmentBytes, minSegment, 1<<30)
	}
	if c.MaxBytes < 2*c.SegmentBytes {
		bad("MaxBytes is %d, want 0 (default) or at least two segments of %d", c.MaxBytes, c.SegmentBytes)
	}
	if c.CommitTimeout < 0 {
		bad("CommitTimeout is %v, want 0 (default) or more", c.CommitTimeout)
	}
	return errors.Join(errs...)
}
