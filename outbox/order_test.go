package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/stream"
)

// reader reads the queue and acknowledges, as a relay does, while the test writes.
type reader struct {
	stop func()
	got  chan []stream.Message
	seen sync.Map // ids
}

func startReader(t *testing.T, q *outbox.Queue) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{stop: cancel, got: make(chan []stream.Message, 1)}
	go func() {
		var all []stream.Message
		for after := uint64(0); ; {
			messages, err := q.Read(ctx, after, 100)
			if ctx.Err() != nil {
				r.got <- all
				return
			}
			if err != nil {
				t.Errorf("read behind %d: %v", after, err)
				r.got <- all
				return
			}
			for _, m := range messages {
				r.seen.Store(m.ID, true)
				if m.Seq != after+1 {
					t.Errorf("sequence %d after %d", m.Seq, after)
				}
				after = m.Seq
			}
			all = append(all, messages...)
			if err := q.Acknowledge(ctx, after); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(cancel)
	return r
}

// end gives what was read, once everything in the queue is acknowledged.
func (r *reader) end(t *testing.T, q *outbox.Queue) []stream.Message {
	t.Helper()
	last, err := q.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the reader", func() bool { return q.Acknowledged() >= last })
	r.stop()
	return <-r.got
}

// TestQueue_skipsNoRow opens transactions that take ids in one order and end in another, while the queue is
// read.
func TestQueue_skipsNoRow(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		rounds, workers := 1000, 8
		switch d.name {
		case "sqlite":
			rounds, workers = 200, 2
		case "mariadb", "mysql":
			rounds = count(200, 1000)
		}
		db := d.connect(t, d.address(t))
		raw, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		raw.SetMaxIdleConns(30)
		o := newOutbox(t, db, outbox.Config{})
		q := openQueue(t, o, outbox.QueueConfig{MinPoll: 100 * time.Microsecond, MaxPoll: time.Millisecond, ClaimRows: 20})
		r := startReader(t, q)
		var mu sync.Mutex
		committed := make(map[string]bool)
		var writing sync.WaitGroup
		for w := range workers {
			writing.Go(func() {
				for round := range rounds / workers {
					ids, err := interleave(t.Context(), db, o, r, fmt.Sprintf("%d-%d", w, round), d.name != "sqlite")
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, id := range ids {
						committed[id] = true
					}
					mu.Unlock()
				}
			})
		}
		writing.Wait()
		seen := make(map[string]bool)
		for _, m := range r.end(t, q) {
			if !committed[m.ID] || seen[m.ID] {
				t.Errorf("record %s was not committed, or came twice", m.ID)
			}
			seen[m.ID] = true
		}
		for id := range committed {
			if !seen[id] {
				t.Errorf("record %s was skipped", id)
			}
		}
		t.Logf("%d rounds, %d records committed, %d claimed", rounds, len(committed), q.Stats().Claimed)
	})
}

// interleave gives the ids of the records of those transactions that it commits. After some of them it
// waits until their records were read: others with lower ids are still open then.
func interleave(ctx context.Context, db *gorm.DB, o *outbox.Outbox, r *reader, name string, open bool) (ids []string, err error) {
	n := 2 + rand.IntN(3)
	if !open {
		n = 1 // the database has one writer
	}
	txs := make([]*gorm.DB, n)
	written := make([][]string, n)
	for i := range txs {
		txs[i] = db.WithContext(ctx).Begin()
		if txs[i].Error != nil {
			return nil, txs[i].Error
		}
	}
	for _, i := range rand.Perm(n) {
		var batch []event.Record
		for k := range 1 + rand.IntN(3) {
			id := fmt.Sprintf("%s-%d-%d", name, i, k)
			batch = append(batch, record(id))
			written[i] = append(written[i], id)
		}
		if err := o.WriteTx(ctx, txs[i].Statement.ConnPool, batch); err != nil {
			return nil, err
		}
	}
	for _, i := range rand.Perm(n) {
		if rand.IntN(5) == 0 {
			if err := txs[i].Rollback().Error; err != nil {
				return nil, err
			}
			continue
		}
		if err := txs[i].Commit().Error; err != nil {
			return nil, err
		}
		ids = append(ids, written[i]...)
		if rand.IntN(2) == 0 {
			if !await.Reached(ctx, func() bool {
				_, seen := r.seen.Load(written[i][0])
				return seen
			}) {
				return nil, fmt.Errorf("record %s was committed, and is not seen", written[i][0])
			}
		}
	}
	return ids, nil
}

// counter is an object that many transactions change.
type counter struct {
	ID int64
	N  int64
}

// TestQueue_keepsTheOrderOfAnObject has transactions that get their number (txid) long before they change
// the object, and records of many objects in between.
func TestQueue_keepsTheOrderOfAnObject(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		const objects, workers = 2, 6
		each := count(60, 400)
		db := d.connect(t, d.address(t))
		if err := db.AutoMigrate(&counter{}, &note{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Create(&[]counter{{ID: 1}, {ID: 2}}).Error; err != nil {
			t.Fatal(err)
		}
		o := newOutbox(t, db, outbox.Config{})
		q := openQueue(t, o, outbox.QueueConfig{MinPoll: 100 * time.Microsecond, MaxPoll: time.Millisecond, ClaimRows: 20})
		r := startReader(t, q)
		undo := errors.New("undo")
		var writing sync.WaitGroup
		for range workers {
			writing.Go(func() {
				for range each {
					err := db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
						if err := tx.Create(&note{Text: "takes a transaction number"}).Error; err != nil {
							return err
						}
						return change(tx, o, 1+rand.Int64N(objects), undo)
					})
					if err != nil && !errors.Is(err, undo) {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		next := make(map[string]int64)
		for _, m := range r.end(t, q) {
			object, value, _ := strings.Cut(m.ID, "-")
			if n, _ := strconv.ParseInt(value, 10, 64); n != next[object]+1 {
				t.Fatalf("object %s is %d after %d", object, n, next[object])
			}
			next[object]++
		}
		var all []counter
		if err := db.Find(&all).Error; err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if got := next[strconv.FormatInt(c.ID, 10)]; got != c.N {
				t.Errorf("object %d was changed %d times, %d records", c.ID, c.N, got)
			}
		}
	})
}

// change counts the object up and writes the record of it.
func change(tx *gorm.DB, o *outbox.Outbox, object int64, undo error) error {
	if err := tx.Model(&counter{}).Where("id = ?", object).Update("n", gorm.Expr("n + 1")).Error; err != nil {
		return err
	}
	var now counter
	if err := tx.First(&now, object).Error; err != nil {
		return err
	}
	if err := o.WriteTx(tx.Statement.Context, tx.Statement.ConnPool, []event.Record{record(fmt.Sprintf("%d-%d", object, now.N))}); err != nil {
		return err
	}
	if rand.IntN(8) == 0 {
		return undo
	}
	return nil
}

// TestQueue_openTransactionHoldsUpNobody has a row of a transaction that stays open, with an id between
// others.
func TestQueue_openTransactionHoldsUpNobody(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		if d.name == "sqlite" {
			return // it has one writer: nobody else can write meanwhile, and the queue waits for its turn
		}
		db := d.connect(t, d.address(t))
		o := newOutbox(t, db, outbox.Config{})
		q := openQueue(t, o, fast())
		write(t, db, o, record("a"))
		open := db.WithContext(t.Context()).Begin()
		defer open.Rollback()
		if err := o.WriteTx(t.Context(), open.Statement.ConnPool, []event.Record{record("late")}); err != nil {
			t.Fatal(err)
		}
		write(t, db, o, record("b"))
		if got := readAll(t, q, 0); strings.Join(got, " ") != "a b" {
			t.Errorf("read %v, want a and b", got)
		}
		if s := stats(t, o); !s.OldestTransactionKnown || s.OldestTransaction <= 0 {
			t.Errorf("the open transaction is %v old (known: %v)", s.OldestTransaction, s.OldestTransactionKnown)
		}
		if err := open.Commit().Error; err != nil {
			t.Fatal(err)
		}
		write(t, db, o, record("c"))
		if got := readAll(t, q, 2); strings.Join(got, " ") != "late c" {
			t.Errorf("read %v, want the late one and c", got)
		}
	})
}
