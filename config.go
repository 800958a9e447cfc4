package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/gormtrail/audit/event"
)

// Scope says which changes of registered models are recorded.
type Scope int

const (
	// ScopeContext records what happens with an audit context: a request that went through the
	// middleware, WithActor, WithActorFunc, WithRequest, or a batch. Everything else is background
	// noise; it is counted by table in Stats and warned about once for each table.
	ScopeContext Scope = iota
	// ScopeAll records everything. What happens without an audit context has the actor type "system".
	ScopeAll
)

// Defaults of a Config.
const (
	DefaultTable               = "audit_logs"
	DefaultMaxRows             = 10_000
	DefaultMaxStatementBytes   = 32 << 20
	DefaultMaxTransactionBytes = 64 << 20
)

// Config configures an Auditor. The zero Config is the default: the default registry, records in the
// table audit_logs of the handle's own database, written in the application's transaction. Mistakes
// are reported by db.Use, all at once, with the names of the fields.
type Config struct {
	// Registry has the models to record. Models may be registered later as well.
	//
	// Defaults to DefaultRegistry.
	Registry *Registry

	// Sink takes the records after COMMIT: a spool, a file, a Tee of several. An error of it cannot
	// undo the change, so alone it is refused with the policy Strict; beside a TxSink, which is what
	// Strict holds for, its errors are counted.
	//
	// Defaults to none.
	Sink Sink
	// TxSink takes the records just before COMMIT, in the same transaction: an outbox, a store. With a
	// Sink as well both get all records.
	//
	// Defaults to the embedded store in the handle's own database if Sink is nil too, else to none.
	TxSink TxSink
	// Table is the table of the embedded store, with a schema before a dot if wanted. It is an error
	// to set it without using the embedded store.
	//
	// Defaults to "audit_logs".
	Table string
	// SkipMigrate says that the application creates the table of the embedded store itself.
	//
	// Defaults to false: db.Use creates the table and its indexes where they are missing.
	SkipMigrate bool

	// SkipProbe switches off the probe at start: db.Use writes a record into the embedded store, or another
	// TxSink that has the method GetTx of a sqlstore.Store, reads it back in the same transaction, and rolls
	// that back. If it fails, db.Use does with a Strict policy; else it is counted and logged.
	//
	// Defaults to false.
	SkipProbe bool
	// SkipSelf switches off the records about auditing itself: that the configuration is not that of the last
	// start of this program (ActionConfigure), and that writes are not recorded because of Skip or Shutdown
	// (ActionDisable). They are written when the transaction of the first statement has ended, in one of
	// their own, and without asking Before. Programs that share a trail should each have a Service.
	//
	// The last configuration is found in the sink's records, if they can be searched, as in the embedded
	// store, or else where a sink that is a ConfigKeeper keeps it: the embedded store, the spool and the
	// outbox do. With no such sink nothing is compared. The first start of a trail without records has
	// nothing to be compared with, and gives no record; in a trail with records it gives one.
	//
	// Defaults to false.
	SkipSelf bool

	// Scope says which changes are recorded.
	//
	// Defaults to ScopeContext.
	Scope Scope
	// RecordUnattributed records SQL text that wrote a registered table, within the scope: without an
	// object and values, as nobody knows which rows it wrote, but with the text's shape without values
	// and how many rows the database reports. Text that gives rows (RETURNING) outside a transaction is
	// only counted if records are written in transactions, since its connection is not free.
	//
	// Defaults to false: it is counted in Stats.
	RecordUnattributed bool
	// Policy says what happens to a write whose record fails.
	//
	// Defaults to Continue.
	Policy Policy
	// Policies are the policies of some models and actions instead of Policy: Critical for what must not
	// happen unrecorded, Telemetry for what is not worth waiting for. The most exact rule counts: of a
	// model and an action, of a model, of an action. The option UsePolicy of a model is such a rule; two
	// that say different things of the same records are an error. In a transaction with records of several
	// policies one that is Strict and fails is enough to fail it.
	//
	// Defaults to none.
	Policies []PolicyRule

	// AllowUntested captures databases on which no test runs as well as it can be. Tested are PostgreSQL 15
	// or later, SQLite 3.35 or later, MariaDB 10.11 or later and MySQL 9.7 or later, and connection pools
	// that pass statements on as they are. PostgreSQL 12, MariaDB 10.5 and MySQL 8.0 or later are captured
	// without this, with a warning in the log: they have all that is used. A database that is allowed is
	// asked what it is: drivers that only have another name are captured as usual; of others inserts, updates and
	// deletes by condition are captured by a SELECT before and after, whose records have the note "before
	// image not locked" where rows could not be locked, and everything else is counted in Stats. The write
	// itself is never broken. gorm.io/sharding sends other statements than it is given: its writes are
	// only counted. The embedded store works on the tested databases only; others need a Sink.
	//
	// Defaults to false: db.Use refuses them.
	AllowUntested bool

	// MaxRows, MaxStatementBytes and MaxTransactionBytes bound the memory for images: of a statement
	// that changes more rows or bytes, or of a transaction with more bytes, one summary record says how
	// many rows changed and by which statement.
	//
	// Default to 10,000 rows, 32 MiB and 64 MiB.
	MaxRows             int
	MaxStatementBytes   int64
	MaxTransactionBytes int64

	// Service and Environment name the program in its records.
	//
	// Default to nothing.
	Service     string
	Environment string
	// Host names the machine in the records; "-" leaves it out.
	//
	// Defaults to the name that the operating system reports.
	Host string

	// MaskNames are more names of columns and fields whose values must not be recorded, of all models
	// and inside JSON of extra fields' top level; upper and lower case are the same. They add to the
	// built-in list (password, secret, token, api_key, …).
	//
	// Defaults to none.
	MaskNames []string
	// KeepSecretNames switches the built-in list of names off, for those who want to see what they store;
	// what MaskNames, tags and options say stays.
	//
	// Defaults to false.
	KeepSecretNames bool
	// KeepValuePatterns switches off the search for secrets by their form (private keys, JSON web
	// tokens, passwords in URLs, card numbers, password=…) in texts.
	//
	// Defaults to false.
	KeepValuePatterns bool

	// Label gives the names of columns for people that neither a tag nor the option Label gives, such as
	// HumanLabel does; empty means none. It is called once for each column, by db.Use.
	//
	// Defaults to the handle's naming strategy, if that is a Labeler, and else to the column's name.
	Label func(objectType, column string) string

	// Before is asked before a record gets its id and hash: it may add to the record or change it, and
	// false vetoes it, which is counted. The record is masked already, and its extra fields and texts
	// are masked again afterwards, as are the values in changes that it wrote. It must be fast, since the application's transaction is open, must
	// not use the database through a pool of one connection, and must be safe for concurrent use. If it
	// panics, the record stays as it was.
	//
	// Defaults to none.
	Before func(ctx context.Context, r *event.Record) bool
	// After is told of the records of a transaction once it has committed and the sinks have been given
	// them, whether they took them or not; also if nobody knows whether it has (OutcomeUnknown). It must
	// be fast, must not change the records, and must be safe for concurrent use. A panic is recovered.
	//
	// Defaults to none.
	After func(ctx context.Context, records []event.Record)

	// Tracer links records to the traces of the application: their trace_id and span_id are those that it
	// gives, and it is told of every write to a sink. telemetry.Providers has one.
	//
	// Defaults to none: the ids are those of the header traceparent, as far as a middleware gives them.
	Tracer Tracer

	// OnError is told of everything that went wrong inside auditing and that the application's write
	// does not report. It must be fast, and safe for concurrent use.
	//
	// Defaults to nothing: errors are counted and logged anyway.
	OnError func(ctx context.Context, err error)
	// Logger gets at most one line for each kind of error and minute.
	//
	// Defaults to slog.Default.
	Logger *slog.Logger
	// Clock gives the time. Tests replace it.
	//
	// Defaults to time.Now.
	Clock func() time.Time
}

// withDefaults gives c with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.Registry == nil {
		c.Registry = DefaultRegistry
	}
	if c.MaxRows == 0 {
		c.MaxRows = DefaultMaxRows
	}
	if c.MaxStatementBytes == 0 {
		c.MaxStatementBytes = DefaultMaxStatementBytes
	}
	if c.MaxTransactionBytes == 0 {
		c.MaxTransactionBytes = DefaultMaxTransactionBytes
	}
	switch c.Host {
	case "":
		// A machine without a name is no reason not to audit.
		c.Host, _ = os.Hostname()
	case "-":
		c.Host = ""
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// validate reports all mistakes in c, which has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: Config."+format, append([]any{ErrConfig}, args...)...))
	}
	if c.Scope != ScopeContext && c.Scope != ScopeAll {
		bad("Scope is %d, want ScopeContext or ScopeAll", c.Scope)
	}
	if !c.Policy.valid() {
		bad("Policy is %d, want Continue, Strict or BestEffort", int(c.Policy))
	}
	if c.Policy == Strict && c.Sink != nil && c.TxSink == nil {
		bad("Policy is Strict, but Config.Sink takes records after COMMIT, when it is too late to fail the write: use the embedded store or a TxSink, or Config.Policies for actions that are no changes of rows")
	}
	embedded := c.embedded()
	if !embedded && c.Table != "" {
		bad("Table is %q, but the embedded store is not used: leave it empty, or leave Sink and TxSink nil", c.Table)
	}
	if !embedded && c.SkipMigrate {
		bad("SkipMigrate is set, but the embedded store is not used")
	}
	if c.MaxRows < 0 {
		bad("MaxRows is %d, want 0 (default) or more", c.MaxRows)
	}
	if c.MaxStatementBytes < 0 {
		bad("MaxStatementBytes is %d, want 0 (default) or more", c.MaxStatementBytes)
	}
	if c.MaxTransactionBytes < 0 {
		bad("MaxTransactionBytes is %d, want 0 (default) or more", c.MaxTransactionBytes)
	}
	for i, name := range c.MaskNames {
		if name == "" {
			bad("MaskNames[%d] is empty", i)
		}
	}
	return errors.Join(errs...)
}

// embedded reports whether records go to the store in the handle's own database.
func (c Config) embedded() bool { return c.Sink == nil && c.TxSink == nil }
