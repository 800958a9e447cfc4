package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/gormtrail/audit/internal/sqltable"
)

// Defaults of Config and QueueConfig.
const (
	DefaultTable       = "audit_outbox"
	DefaultLockTimeout = 2 * time.Second
	DefaultService     = "audit"
)

// Config configures an Outbox. All fields are optional.
type Config struct {
	// Table is the name of the table, with or without a schema. The outbox also makes tables whose names
	// begin with it (Table_meta, Table_state, Table_queue, Table_quarantine).
	//
	// Defaults to DefaultTable, on PostgreSQL and MySQL in the schema that is current when New is called.
	Table string
	// SkipMigrate keeps New from creating the tables: run the statements of Migration yourself.
	SkipMigrate bool
	// Strict makes an error of WriteTx break the application's transaction, and saves its savepoint. It
	// goes with the audit policy of the same name.
	Strict bool
	// LockTimeout is how long WriteTx waits for a lock on the table, on MySQL and MariaDB in whole seconds,
	// unless Strict is set; then, if it is negative, and on SQLite (busy_timeout) the connection's own
	// setting holds. It does not outlast WriteTx.
	//
	// Defaults to DefaultLockTimeout.
	LockTimeout time.Duration
	// Service is the first part of the producer name, service/uuid, of a new outbox: up to 200 letters,
	// digits and . _ - of ASCII. One that was made keeps its name: the stream knows the producer by it.
	//
	// Defaults to DefaultService.
	Service string
	// Notify wakes the relay at COMMIT, by NOTIFY of PostgreSQL on the channel that Channel gives, so that
	// it need not wait for its next look. PostgreSQL takes the COMMITs of transactions that notify one after
	// the other, for the whole server: leave it off where many commit at a time. Other databases ignore it.
	//
	// Defaults to false: the relay polls.
	Notify bool
	// Logger gets what an operator must know: damaged rows, a new name.
	//
	// Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock, by which rows get old.
	//
	// Defaults to time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = DefaultLockTimeout
	}
	if c.Service == "" {
		c.Service = DefaultService
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func (c Config) validate() error {
	var errs []error
	if !sqltable.ValidTable.MatchString(c.Table) {
		errs = append(errs, fmt.Errorf("outbox: Config.Table is %q, want at most 48 letters, digits, _ and $, with or without a schema", c.Table))
	}
	if !serviceName.MatchString(c.Service) {
		errs = append(errs, fmt.Errorf("outbox: Config.Service is %.210q, want up to 200 letters, digits and . _ - of ASCII", c.Service))
	}
	return errors.Join(errs...)
}

// QueueConfig configures a Queue. The zero value has the defaults.
type QueueConfig struct {
	// MinPoll and MaxPoll bound the pause between two looks for new rows. It doubles from one to the other
	// while there are none.
	//
	// Default to 20 ms and 500 ms.
	MinPoll, MaxPoll time.Duration
	// Takeover is how often a queue that waits for the lock tries to get it.
	//
	// Defaults to 1 s.
	Takeover time.Duration
	// ClaimRows is how many rows one transaction claims.
	//
	// Defaults to 500.
	ClaimRows int
	// Retention is how long rows are kept after they were written, even if they are confirmed, so that a
	// broker that has lost its end can be filled again, see Outbox.Refill. They are in the application's
	// database.
	//
	// Defaults to 0: they are deleted once confirmed.
	Retention time.Duration
	// Timeout is how long the database may take for one step before its connection counts as dead.
	//
	// Defaults to 10 s.
	Timeout time.Duration
	// Wake makes the queue look at once when something is received from it; see package outbox/pgnotify.
	//
	// Defaults to none.
	Wake <-chan struct{}
}

func (c QueueConfig) withDefaults() QueueConfig {
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	duration(&c.MinPoll, 20*time.Millisecond)
	duration(&c.MaxPoll, max(500*time.Millisecond, c.MinPoll))
	duration(&c.Takeover, time.Second)
	duration(&c.Timeout, 10*time.Second)
	if c.ClaimRows == 0 {
		c.ClaimRows = 500
	}
	return c
}

func (c QueueConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("outbox: QueueConfig."+format, args...))
	}
	if c.MinPoll < 0 || c.MaxPoll < c.MinPoll {
		bad("MinPoll is %v and MaxPoll is %v, want 0 (default) or more, in this order", c.MinPoll, c.MaxPoll)
	}
	if c.Takeover < 0 {
		bad("Takeover is %v, want 0 (default) or more", c.Takeover)
	}
	if c.ClaimRows < 1 || c.ClaimRows > 1000 {
		bad("ClaimRows is %d, want 0 (default) or 1 to 1000", c.ClaimRows)
	}
	if c.Retention < 0 {
		bad("Retention is %v, want 0 (default) or more", c.Retention)
	}
	if c.Timeout < 0 {
		bad("Timeout is %v, want 0 (default) or more", c.Timeout)
	}
	return errors.Join(errs...)
}
