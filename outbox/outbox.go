package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/sqltable"
)

// formatVersion is the version of the tables and of what is in them.
const formatVersion = 1

// Outbox is a queue in a table of the application's database. It is an audit.TxSink. Make one with New; it
// needs no closing, and its methods may be called concurrently.
type Outbox struct {
	cfg   Config
	d     dialect
	names sqltable.Names
	// pool runs the outbox's own statements. It is below GORM and whatever plugins have put around the
	// connection pool: the outbox is not audited.
	pool gorm.ConnPool
}

// New gives an outbox in the database of db, in which it creates the tables that are missing. Neither db
// nor its plugins see the outbox's statements. It returns all mistakes in cfg at once, an error that wraps
// ErrDialect, or one that wraps ErrTable if a table of another kind has the name.
func New(db *gorm.DB, cfg Config) (*Outbox, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ctx := db.Statement.Context
	d, err := newDialect(ctx, db)
	if err != nil {
		return nil, err
	}
	o := &Outbox{cfg: cfg, d: d, names: sqltable.NewNames(cfg.Table, d.Quote), pool: sqltable.PoolOf(db)}
	if o.names.Schema == "" {
		if o.names.Schema, err = d.Current(ctx, o.pool); err != nil {
			return nil, fmt.Errorf("outbox: current schema: %w", err)
		}
	}
	schema := schemaOf(d, o.names, cfg)
	if !cfg.SkipMigrate {
		return o, schema.Migrate(ctx, o.pool, savepoint)
	}
	made, err := schema.Made(ctx, o.pool)
	if err == nil && !made {
		err = fmt.Errorf("%w: %s does not exist: run the statements of Migration, or leave out SkipMigrate", ErrTable, o.Table())
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

func schemaOf(d dialect, n sqltable.Names, cfg Config) sqltable.Schema {
	return sqltable.Schema{
		Package: "outbox", Dialect: d, Names: n, Version: formatVersion, Foreign: ErrTable,
		Create: d.create(n), Fill: d.fill(n, newProducer(cfg)),
	}
}

// newProducer makes a producer name that nobody else has.
func newProducer(cfg Config) string { return cfg.Service + "/" + event.NewID(cfg.Now()) }

// Migration gives the statements that make the tables, for use with Config.SkipMigrate. On PostgreSQL and
// MySQL give the table with its schema, or run them where New will find the same current one. They have a
// new producer name in them: run what one call gives once.
func Migration(db *gorm.DB, cfg Config) ([]string, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d, err := newDialect(db.Statement.Context, db)
	if err != nil {
		return nil, err
	}
	return schemaOf(d, sqltable.NewNames(cfg.Table, d.Quote), cfg).Statements(), nil
}

// Table gives the name of the table, quoted and with its schema.
func (o *Outbox) Table() string { return o.names.Table("") }

// Channel gives the channel on which PostgreSQL notifies if Config.Notify is set.
func (o *Outbox) Channel() string { return channel(o.names) }

// WriteTx writes records within the open transaction of conn, in one statement if they are not very many:
// they are in the outbox if and only if it commits. An error says that some were not written; it has a
// *LostError, and unless Config.Strict is set the transaction can go on. It implements audit.TxSink.
func (o *Outbox) WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error {
	return o.WriteEncodedTx(ctx, conn, records, nil)
}

// WriteEncodedTx is WriteTx for records that are encoded already, as event.Encode does it. encoded may be
// nil, and so may each encoding.
func (o *Outbox) WriteEncodedTx(ctx context.Context, conn gorm.ConnPool, records []event.Record, encoded [][]byte) error {
	rows, errs := newRows(records, encoded, o.cfg.Now().UnixMilli())
	lost := len(errs)
	if len(rows) > 0 && (lost == 0 || !o.cfg.Strict) {
		if err := o.d.insertTx(ctx, conn, o.names, rows, o.cfg); err != nil {
			errs = append(errs, err)
			lost = len(records)
		}
		failpoint.Hit(failpoint.OutboxInserted)
	}
	if lost == 0 {
		return nil
	}
	return &LostError{Records: lost, Err: errors.Join(errs...)}
}

// Stats are the numbers of an outbox at one moment.
type Stats struct {
	// Producer is the producer name.
	Producer string
	// Unclaimed and UnclaimedBytes are the records that have no sequence yet.
	Unclaimed, UnclaimedBytes int64
	// Pending and PendingBytes are all records that are not confirmed, as far as that was saved: those
	// without a sequence too. OldestPending is how long the oldest of them has been there.
	Pending, PendingBytes int64
	OldestPending         time.Duration
	// Kept are the confirmed records that are still there, see QueueConfig.Retention.
	Kept int64
	// Quarantined are the records that cannot be sent.
	Quarantined int64
	// Last is the last sequence given, Acknowledged up to where the stream has them, as far as that was
	// saved.
	Last, Acknowledged uint64
	// OldestTransaction is how long the oldest transaction of the server has been open: what it writes into
	// the outbox comes when it commits, and on PostgreSQL dead rows stay until then. Not known on SQLite,
	// and on MySQL without the privilege PROCESS: OldestTransactionKnown is false then.
	OldestTransaction      time.Duration
	OldestTransactionKnown bool
}

// Stats reads the numbers of now from the database.
func (o *Outbox) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	var waiting, queued Stats
	var oldest, oldestQueued sql.NullInt64
	state, err := o.state(ctx, o.pool)
	if err != nil {
		return s, err
	}
	read := func(query string, dest ...any) {
		if err == nil {
			err = o.pool.QueryRowContext(ctx, query).Scan(dest...)
		}
	}
	sums := "SELECT coalesce(sum(records), 0), coalesce(sum(" + o.d.bytes("body") + "), 0), min(created) FROM "
	acknowledged := fmt.Sprint(state.acknowledged)
	read(sums+o.names.Table(""), &waiting.Pending, &waiting.PendingBytes, &oldest)
	read(sums+o.names.Table("_queue")+" WHERE last > "+acknowledged, &queued.Pending, &queued.PendingBytes, &oldestQueued)
	read("SELECT coalesce(sum(records), 0) FROM "+o.names.Table("_queue")+" WHERE last <= "+acknowledged, &s.Kept)
	read("SELECT count(*) FROM "+o.names.Table("_quarantine"), &s.Quarantined)
	if err != nil {
		return Stats{}, fmt.Errorf("outbox: read the numbers of %s: %w", o.Table(), err)
	}
	s.Producer, s.Last, s.Acknowledged = state.producer, state.last, state.acknowledged
	s.Unclaimed, s.UnclaimedBytes = waiting.Pending, waiting.PendingBytes
	s.Pending, s.PendingBytes = waiting.Pending+queued.Pending, waiting.PendingBytes+queued.PendingBytes
	if oldestQueued.Valid && (!oldest.Valid || oldestQueued.Int64 < oldest.Int64) {
		oldest = oldestQueued
	}
	if oldest.Valid {
		s.OldestPending = max(0, o.cfg.Now().Sub(time.UnixMilli(oldest.Int64)))
	}
	s.OldestTransaction, s.OldestTransactionKnown = o.d.oldestTransaction(ctx, o.pool)
	return s, nil
}

// state is the row of the table _state.
type state struct {
	producer, epoch    string
	last, acknowledged uint64
}

func (o *Outbox) state(ctx context.Context, conn gorm.ConnPool) (s state, err error) {
	err = conn.QueryRowContext(ctx, "SELECT producer, epoch, last, acknowledged FROM "+o.names.Table("_state")+" WHERE id = 1").
		Scan(&s.producer, &s.epoch, &s.last, &s.acknowledged)
	if err != nil {
		return s, fmt.Errorf("outbox: read the state of %s: %w", o.Table(), err)
	}
	return s, nil
}

// Renew gives the outbox a new producer name. Call it after the database was restored from a backup, or
// copied to where the original goes on, and before a relay runs: otherwise sequences that the stream has
// seen already would mean other records, and the stream would confirm and drop these. On PostgreSQL a queue
// does it by itself when the timeline of the server has changed. What is not confirmed is sent under the
// new name; the store drops what it has.
func (o *Outbox) Renew(ctx context.Context) error {
	return o.rename(ctx, o.pool, newProducer(o.cfg), "")
}

func (o *Outbox) rename(ctx context.Context, conn gorm.ConnPool, producer, epoch string) error {
	_, err := conn.ExecContext(ctx, "UPDATE "+o.names.Table("_state")+" SET producer = "+o.d.Placeholder(1)+", epoch = "+o.d.Placeholder(2)+" WHERE id = 1", producer, epoch)
	if err != nil {
		return fmt.Errorf("outbox: rename the producer of %s: %w", o.Table(), err)
	}
	return nil
}
