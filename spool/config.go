package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Policy says what becomes of records for which there is no room, or which the disk does not take. Write
// gives an error in any case: success always means that they are on the disk. What was taken before is
// never dropped for them.
type Policy uint8

const (
	// Drop counts them as lost, and a gap record tells of them, see event.Gap. It is for what has happened
	// already and cannot be taken back, such as committed rows.
	Drop Policy = iota
	// Reject leaves them to the caller, who may try again or refuse what was to be recorded. No gap record
	// tells of them, as nothing may be missing.
	Reject
)

// Config is the configuration of a spool. The zero value has the defaults.
type Config struct {
	// Service is the first part of the producer name, service/uuid, of a new folder: up to 200 letters,
	// digits and . _ - of ASCII. A folder that was taken over keeps its name: the stream knows the
	// producer by it.
	//
	// Defaults to "audit".
	Service string
	// MaxBytes is how large the segments of one process may become, with a reserve of a twentieth (at
	// least 4 KiB, at most 8 MiB) that only gap records may use. When they are, segments that were
	// acknowledged go early; if there are none, Write waits and then WhenFull decides.
	//
	// Defaults to 1 GiB.
	MaxBytes int64
	// SoftBytes is the size from which on records are written without old and new values: more of them
	// fit, and who changed what and when stays known. Such a record has is_truncated and
	// untruncated_size, and its changes are marked as truncated. Negative: never.
	//
	// Defaults to nine tenths of MaxBytes.
	SoftBytes int64
	// WhenFull says what becomes of records for which there is no room after BlockTimeout, and of those
	// that the disk does not take.
	//
	// Defaults to Drop.
	WhenFull Policy
	// SegmentBytes is the size at which a new segment begins, from 4 KiB.
	//
	// Defaults to 16 MiB.
	SegmentBytes int64
	// Retention is how long acknowledged segments are kept that are not known to be in the store, so that
	// a broker that has lost its end can be filled again. Negative: not at all.
	//
	// Defaults to 24 h.
	Retention time.Duration
	// Index is asked every IndexInterval which records the store has; MarkIndexed can be called instead.
	// Segments whose records are all in the store go before the Retention has passed.
	//
	// Defaults to none.
	Index Index
	// IndexInterval is how often Index is asked.
	//
	// Defaults to 10 s.
	IndexInterval time.Duration
	// MaxFolders is how many folders the parent may have. A stream of RabbitMQ remembers 255 producer
	// names, and takes what is sent again under one that it has forgotten for new. Folders are taken over
	// by later processes, so there are only as many as processes have run at the same time; all hosts
	// that send to one stream together should stay below 255.
	//
	// Defaults to 200.
	MaxFolders int
	// BlockTimeout is how long Write waits for room in a full spool. Negative: not at all.
	//
	// Defaults to 250 ms.
	BlockTimeout time.Duration
	// CommitTimeout is how long Write waits for the disk.
	//
	// Defaults to 5 s.
	CommitTimeout time.Duration
	// BestEffortBytes is how much memory may hold, on the way to the disk, what WriteBestEffort took. One call
	// is always taken.
	//
	// Defaults to 8 MiB.
	BestEffortBytes int64
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
	if c.SoftBytes == 0 {
		c.SoftBytes = c.MaxBytes / 10 * 9
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = min(16<<20, c.MaxBytes/4)
		c.SegmentBytes = max(c.SegmentBytes, minSegment)
	}
	if c.MaxFolders == 0 {
		c.MaxFolders = 200
	}
	if c.BestEffortBytes == 0 {
		c.BestEffortBytes = 8 << 20
	}
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	duration(&c.Retention, 24*time.Hour)
	duration(&c.IndexInterval, 10*time.Second)
	duration(&c.BlockTimeout, 250*time.Millisecond)
	duration(&c.CommitTimeout, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const (
	minSegment = 4 << 10
	minReserve = 4 << 10
	maxReserve = 8 << 20
)

// reserve is what only gap records may use of MaxBytes. Half of it is allocated on the disk, see ballast.
func (c Config) reserve() int64 { return max(minReserve, min(c.MaxBytes/20, maxReserve)) }

// room is how large the segments may become with records, gapRoom with gap records.
func (c Config) room() int64    { return c.MaxBytes - c.reserve() }
func (c Config) gapRoom() int64 { return c.MaxBytes - c.reserve()/2 }

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
	if c.WhenFull > Reject {
		bad("WhenFull is %d, want Drop or Reject", c.WhenFull)
	}
	if c.MaxFolders < 1 {
		bad("MaxFolders is %d, want 0 (default) or 1 and more", c.MaxFolders)
	}
	if c.BestEffortBytes < 0 {
		bad("BestEffortBytes is %d, want 0 (default) or more", c.BestEffortBytes)
	}
	if c.IndexInterval < 0 {
		bad("IndexInterval is %v, want 0 (default) or more", c.IndexInterval)
	}
	if c.CommitTimeout < 0 {
		bad("CommitTimeout is %v, want 0 (default) or more", c.CommitTimeout)
	}
	return errors.Join(errs...)
}
