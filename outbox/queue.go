package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/stream"
)

// saving is how often what is confirmed is saved, and deleted.
const saving = time.Second

// sweeping is how often rows are looked for that have been kept long enough.
const sweeping = 10 * time.Second

// Queue is the side of an outbox that a relay empties. It is a relay.Queue, and may be given to relay.Start.
type Queue struct {
	o   *Outbox
	cfg QueueConfig

	reading    sync.Mutex // one reader at a time; guards the lock, buffer and saved
	lock       lock
	buffer     []stream.Message // in order: all that is behind bufferFrom, as far as it was read
	bufferFrom uint64
	saved      uint64
	savedAt    time.Time
	kept       bool      // there may be rows to delete
	sweepAt    time.Time // when to look for them
	quit       chan struct{}
	closing    sync.Once

	mu           sync.Mutex
	producer     string
	last         uint64
	acknowledged uint64
	stats        QueueStats
}

// QueueStats are the numbers of a queue in this process at one moment.
type QueueStats struct {
	// Active says that this queue has the lock.
	Active bool
	// Takeovers counts how often it got it, Claimed the records that it gave a sequence.
	Takeovers, Claimed uint64
	// Lost counts sequences whose rows are gone though they were not confirmed, Damaged rows that do not
	// have the records that they should, Quarantined records that cannot be sent.
	Lost, Damaged, Quarantined uint64
}

// Queue opens the side that a relay empties. Close gives its lock back. The database must be there; it may
// go and come back later.
func (o *Outbox) Queue(ctx context.Context, cfg QueueConfig) (*Queue, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	db, ok := o.pool.(*sql.DB)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T, want a *sql.DB", ErrPool, o.pool)
	}
	l, err := o.d.lock(ctx, db, o.names)
	if err != nil {
		return nil, err
	}
	s, err := o.state(ctx, o.pool)
	if err != nil {
		return nil, err
	}
	return &Queue{
		o: o, cfg: cfg, lock: l, quit: make(chan struct{}), kept: true,
		producer: s.producer, last: s.last, acknowledged: s.acknowledged, saved: s.acknowledged,
	}, nil
}

// Producer gives the producer name, service/uuid. It implements relay.Queue.
func (q *Queue) Producer() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.producer
}

// Acknowledged gives the sequence up to which the stream has all records. It implements relay.Queue.
func (q *Queue) Acknowledged() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.acknowledged
}

// Last gives the sequence that the newest record in the outbox has or will have. It implements relay.Queue.
func (q *Queue) Last(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	var last uint64
	n := q.o.names
	// One statement sees one state, in which no record is counted twice or not at all.
	err := q.o.pool.QueryRowContext(ctx, "SELECT last + (SELECT coalesce(sum(records), 0) FROM "+n.Table("")+") FROM "+n.Table("_state")+" WHERE id = 1").Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("outbox: read the end of %s: %w", q.o.Table(), err)
	}
	return last, nil
}

// Acknowledge says that the stream has all records up to and including seq. It implements relay.Queue. It
// is saved in the database within about a second, while Read is called, and by Close; if it is lost, the
// records are sent again, and the stream drops them.
func (q *Queue) Acknowledge(_ context.Context, seq uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if seq > q.last {
		return fmt.Errorf("outbox: acknowledge %d, but the last record is %d", seq, q.last)
	}
	q.acknowledged = max(q.acknowledged, seq)
	failpoint.Hit(failpoint.SpoolAcked)
	return nil
}

// Quarantine keeps a record that cannot be sent in the table _quarantine, with the reason. It implements
// relay.Queue.
func (q *Queue) Quarantine(ctx context.Context, m stream.Message, reason error) error {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	table, p := q.o.names.Table("_quarantine"), q.o.d.Placeholder
	err := sqltable.InTx(ctx, q.o.pool, q.o.d, savepoint, nil, func(conn gorm.ConnPool) error {
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+table+" WHERE seq = "+p(1), m.Seq); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "INSERT INTO "+table+" (seq, created, reason, body) VALUES ("+p(1)+","+p(2)+","+p(3)+","+p(4)+")",
			m.Seq, q.o.cfg.Now().UnixMilli(), reason.Error(), string(m.Payload))
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: put record %d aside: %w", m.Seq, err)
	}
	q.o.cfg.Logger.ErrorContext(ctx, "outbox: a record cannot be sent, put aside", slog.String("table", q.o.Table()), slog.Uint64("seq", m.Seq), slog.Any("error", reason))
	q.count(func(s *QueueStats) { s.Quarantined++ })
	return nil
}

// Orphans gives nothing: an outbox has one queue, whoever has its lock. It is there for relay.Start.
func (q *Queue) Orphans() ([]*Queue, error) { return nil, nil }

// Stats gives the numbers of now.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

func (q *Queue) count(add func(s *QueueStats)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	add(&q.stats)
}

// Close saves what is confirmed and gives the lock back. It may be called again.
func (q *Queue) Close() error {
	var err error
	q.closing.Do(func() {
		close(q.quit)
		q.reading.Lock() // a reader has seen quit and ends
		defer q.reading.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), q.cfg.Timeout) //nolint:forbidigo // closing has no context
		defer cancel()
		if q.Stats().Active {
			err = q.work(ctx, func(ctx context.Context, conn gorm.ConnPool) error { return q.save(ctx, conn, true) })
			if errors.Is(err, errStandby) || errors.Is(err, ErrRenewed) {
				err = nil // it is somebody else's now
			}
		}
		q.lock.release(ctx)
		q.count(func(s *QueueStats) { s.Active = false })
	})
	return err
}
