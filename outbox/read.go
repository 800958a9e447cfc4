package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/stream"
)

// readRows is how many rows are read at once; each has up to rowBytes.
const readRows = 128

// removeRows is how many rows one statement deletes.
const removeRows = 500

// errStandby says that another queue has the lock.
var errStandby = errors.New("outbox: another queue is active")

// properties are the application properties of each message.
var properties = map[string]string{"schema_version": strconv.Itoa(event.SchemaVersion)}

// Read gives the records behind the sequence after, or behind those that are acknowledged, in order, at
// least one and at most limit, waiting for the first, and for the lock, as long as ctx lives. It implements
// relay.Queue.
func (q *Queue) Read(ctx context.Context, after uint64, limit int) ([]stream.Message, error) {
	q.reading.Lock()
	defer q.reading.Unlock()
	pause := q.cfg.MinPoll
	for {
		select {
		case <-q.quit:
			return nil, ErrClosed
		default:
		}
		messages, err := q.look(ctx, after, limit)
		wait := pause
		switch {
		case errors.Is(err, errStandby):
			wait = q.cfg.Takeover
		case err != nil || len(messages) > 0:
			return messages, err
		}
		pause = min(2*pause, q.cfg.MaxPoll)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-q.cfg.Wake:
			pause = q.cfg.MinPoll
		case <-q.quit:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// look gives what is there now. The end of ctx does not end it, as a connection whose statement is
// cancelled is gone, and the lock with it.
func (q *Queue) look(ctx context.Context, after uint64, limit int) ([]stream.Message, error) {
	if messages := q.take(after, limit); len(messages) > 0 {
		return messages, nil
	}
	err := q.work(context.WithoutCancel(ctx), func(ctx context.Context, conn gorm.ConnPool) error {
		after = max(after, q.Acknowledged())
		if err := q.save(ctx, conn, false); err != nil {
			return err
		}
		if q.lastSeq() <= after {
			if err := q.claim(ctx, conn); err != nil {
				return err
			}
		}
		if q.lastSeq() <= after {
			return nil
		}
		return q.load(ctx, conn, after)
	})
	if err != nil {
		return nil, err
	}
	return q.take(after, limit), nil
}

func (q *Queue) lastSeq() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last
}

// take gives what was read before, if it has all that is behind after.
func (q *Queue) take(after uint64, limit int) []stream.Message {
	after = max(after, q.Acknowledged())
	i := 0
	for i < len(q.buffer) && q.buffer[i].Seq <= after {
		i++
	}
	if after < q.bufferFrom || i == len(q.buffer) {
		q.buffer = nil
		return nil
	}
	n := i + min(limit, len(q.buffer)-i)
	messages := q.buffer[i:n:n]
	q.buffer, q.bufferFrom = q.buffer[n:], messages[len(messages)-1].Seq
	return messages
}

// work runs f on the connection that has the lock; errStandby if another queue has it.
func (q *Queue) work(ctx context.Context, f func(ctx context.Context, conn gorm.ConnPool) error) error {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
	defer cancel()
	conn, fresh, err := q.lock.hold(ctx)
	if err == nil && conn == nil {
		return errStandby
	}
	if err == nil && fresh {
		err = q.begin(ctx, conn)
	}
	if err == nil {
		err = f(ctx, conn)
	}
	if err != nil && !errors.Is(err, ErrRenewed) {
		q.lock.failed()
		if _, file := q.lock.(*fileLock); !file {
			q.count(func(s *QueueStats) { s.Active = false })
		}
	}
	return err
}

// begin reads how far others have come, when the lock was got.
func (q *Queue) begin(ctx context.Context, conn gorm.ConnPool) error {
	s, err := q.o.state(ctx, conn)
	if err != nil {
		return err
	}
	epoch := q.o.d.epoch(ctx, conn)
	if epoch != "" && epoch != s.epoch {
		if s.epoch != "" {
			// The stream may have seen sequences that this database knows nothing of.
			old := s.producer
			s.producer = newProducer(q.o.cfg)
			q.o.cfg.Logger.WarnContext(ctx, "outbox: the database was restored or has failed over, goes on under a new name", slog.String("table", q.o.Table()),
				slog.String("from", s.epoch), slog.String("to", epoch), slog.String("producer", old), slog.String("new", s.producer))
		}
		if err := q.o.rename(ctx, conn, s.producer, epoch); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Active = true
	q.stats.Takeovers++
	q.acknowledged = max(q.acknowledged, s.acknowledged)
	q.saved, q.last, q.kept = s.acknowledged, s.last, true
	if s.producer != q.producer {
		q.producer, q.buffer = s.producer, nil
		return ErrRenewed
	}
	return nil
}

// claim gives the next sequences to the rows that can be seen, and moves them to the queue.
func (q *Queue) claim(ctx context.Context, conn gorm.ConnPool) error {
	n := q.o.names
	var one int
	switch err := conn.QueryRowContext(ctx, "SELECT 1 FROM "+n.Table("")+" LIMIT 1").Scan(&one); {
	case errors.Is(err, sql.ErrNoRows):
		return nil // and nothing was written: it would hold up writers on SQLite
	case err != nil:
		return fmt.Errorf("outbox: look into %s: %w", q.o.Table(), err)
	}
	var last uint64
	var claimed int64
	err := sqltable.InTx(ctx, conn, q.o.d, savepoint, q.o.d.claiming(), func(conn gorm.ConnPool) (err error) {
		if last, err = q.o.d.lockState(ctx, conn, n); err != nil {
			return err
		}
		ids, records, err := visible(ctx, conn, n.Table(""), q.cfg.ClaimRows)
		if err != nil || len(ids) == 0 {
			return err
		}
		list := strings.Join(ids, ",")
		base := strconv.FormatUint(last, 10)
		moved, err := sqltable.Exec(ctx, conn, "INSERT INTO "+n.Table("_queue")+" (last, created, records, body) SELECT "+base+
			" + sum(records) OVER (ORDER BY id), created, records, body FROM "+n.Table("")+" WHERE id IN ("+list+")")
		if err != nil {
			return err
		}
		removed, err := sqltable.Exec(ctx, conn, q.o.d.remove(n.Table(""), list))
		if err != nil {
			return err
		}
		if want := int64(len(ids)); moved != want || removed != want {
			return fmt.Errorf("%d of %d rows copied and %d deleted: does somebody else delete them?", moved, want, removed)
		}
		claimed = records
		last += uint64(records)
		_, err = conn.ExecContext(ctx, "UPDATE "+n.Table("_state")+" SET last = "+strconv.FormatUint(last, 10)+" WHERE id = 1")
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: claim rows of %s: %w", q.o.Table(), err)
	}
	failpoint.Hit(failpoint.RelaySeqAssigned)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last = max(q.last, last)
	q.stats.Claimed += uint64(claimed)
	return nil
}

// visible gives the first rows that one snapshot shows, and how many records they have.
func visible(ctx context.Context, conn gorm.ConnPool, table string, limit int) (ids []string, records int64, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT id, records FROM "+table+" ORDER BY id LIMIT "+strconv.Itoa(limit))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id, n int64
		if err := rows.Scan(&id, &n); err != nil {
			return nil, 0, err
		}
		ids = append(ids, strconv.FormatInt(id, 10))
		records += n
	}
	return ids, records, rows.Err()
}

// load reads rows of the queue behind after into the buffer.
func (q *Queue) load(ctx context.Context, conn gorm.ConnPool, after uint64) error {
	rows, err := conn.QueryContext(ctx, "SELECT last, records, body FROM "+q.o.names.Table("_queue")+" WHERE last > "+q.o.d.Placeholder(1)+" ORDER BY last LIMIT "+strconv.Itoa(readRows), after)
	if err != nil {
		return fmt.Errorf("outbox: read %s: %w", q.o.names.Table("_queue"), err)
	}
	q.buffer, q.bufferFrom = nil, after
	next := after + 1
	var gaps []gap
	for rows.Next() {
		var last uint64
		var records int
		var body []byte
		if err := rows.Scan(&last, &records, &body); err != nil {
			return errors.Join(err, rows.Close())
		}
		first := last - uint64(max(records, 1)) + 1
		if first > next {
			gaps = append(gaps, gap{next, first - 1})
		}
		next = last + 1
		for _, m := range q.messages(first, last, records, body) {
			if m.Seq > after {
				q.buffer = append(q.buffer, m)
			}
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		q.buffer = nil
		return fmt.Errorf("outbox: read %s: %w", q.o.names.Table("_queue"), err)
	}
	return q.missing(ctx, conn, gaps)
}

// messages gives the messages of a row. A row that was changed by somebody is sent as it is: the consumer
// puts aside what is no record.
func (q *Queue) messages(first, last uint64, records int, body []byte) []stream.Message {
	lines, ok := linesOf(body, records)
	if !ok {
		q.o.cfg.Logger.Error("outbox: a row does not have the records that it should, sent as it is", slog.String("table", q.o.names.Table("_queue")), slog.Uint64("last", last))
		q.count(func(s *QueueStats) { s.Damaged++ })
		return []stream.Message{{ID: "damaged-" + strconv.FormatUint(last, 10), Seq: last, Payload: body, Properties: properties}}
	}
	producer := q.Producer()
	messages := make([]stream.Message, len(lines))
	for i, line := range lines {
		seq := first + uint64(i)
		messages[i] = stream.Message{ID: idOf(line), Seq: seq, Payload: event.Stamp(line, producer, seq), Properties: properties}
	}
	return messages
}

// gap are sequences without a row.
type gap struct{ from, to uint64 }

// missing looks why rows are not there: another queue has sent and deleted them, or they are lost.
func (q *Queue) missing(ctx context.Context, conn gorm.ConnPool, gaps []gap) error {
	if len(gaps) == 0 {
		return nil
	}
	s, err := q.o.state(ctx, conn)
	if err != nil {
		q.buffer = nil
		return err
	}
	q.mu.Lock()
	q.acknowledged = max(q.acknowledged, s.acknowledged)
	q.mu.Unlock()
	for _, g := range gaps {
		if g.from = max(g.from, s.acknowledged+1); g.from > g.to {
			continue
		}
		q.o.cfg.Logger.ErrorContext(ctx, "outbox: records are gone that were not confirmed", slog.String("table", q.o.names.Table("_queue")),
			slog.Uint64("from", g.from), slog.Uint64("to", g.to))
		q.count(func(s *QueueStats) { s.Lost += g.to - g.from + 1 })
	}
	return nil
}

// save saves what is confirmed, and deletes what need not be kept.
func (q *Queue) save(ctx context.Context, conn gorm.ConnPool, now bool) error {
	acknowledged, at := q.Acknowledged(), q.o.cfg.Now()
	if !now && at.Sub(q.savedAt) < saving {
		return nil
	}
	if acknowledged > q.saved {
		text := strconv.FormatUint(acknowledged, 10)
		if _, err := conn.ExecContext(ctx, "UPDATE "+q.o.names.Table("_state")+" SET acknowledged = "+text+" WHERE id = 1 AND acknowledged < "+text); err != nil {
			return fmt.Errorf("outbox: save what is confirmed: %w", err)
		}
		failpoint.Hit(failpoint.OutboxSaved)
		q.saved, q.kept = acknowledged, true
		if q.cfg.Retention == 0 {
			q.sweepAt = at
		}
	}
	q.savedAt = at
	if !q.kept || at.Before(q.sweepAt) { // so that an idle queue writes nothing
		return nil
	}
	// A second's worth of rows at most: the records of now come first.
	for range 40 {
		n, err := q.o.d.removeSent(ctx, conn, q.o.names.Table("_queue"), q.saved, at.Add(-q.cfg.Retention).UnixMilli(), removeRows)
		if err != nil {
			return fmt.Errorf("outbox: delete what is confirmed: %w", err)
		}
		if n > 0 {
			failpoint.Hit(failpoint.SpoolSegmentDeleted)
		}
		if n < removeRows {
			q.kept = q.cfg.Retention > 0
			q.sweepAt = at.Add(sweeping)
			break
		}
	}
	return nil
}
