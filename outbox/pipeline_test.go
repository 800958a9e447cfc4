package outbox_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestPipeline goes the whole way: GORM, outbox, relay, RabbitMQ, consumer, store. Every change that was
// committed is in the store exactly once, no other is, and the changes of an object follow one another.
func TestPipeline(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		const workers, objects = 4, 3
		each := count(40, 200)
		db := d.connect(t, d.address(t))
		if err := db.AutoMigrate(&counter{}); err != nil {
			t.Fatal(err)
		}
		for id := range int64(objects) {
			if err := db.Create(&counter{ID: id + 1}).Error; err != nil {
				t.Fatal(err)
			}
		}
		o := newOutbox(t, db, outbox.Config{Strict: true})
		registry := audit.NewRegistry()
		if err := registry.Register(&counter{}); err != nil {
			t.Fatal(err)
		}
		auditor := audit.New(audit.Config{Registry: registry, TxSink: o, Scope: audit.ScopeAll, Policy: audit.Strict, Logger: quiet})
		if err := db.Use(auditor); err != nil {
			t.Fatal(err)
		}
		trail := startConsumer(t, o, d)

		undo := errors.New("undo")
		var writing sync.WaitGroup
		for range workers {
			writing.Go(func() {
				for range each {
					err := db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
						id := 1 + rand.Int64N(objects)
						if err := tx.Model(&counter{}).Where("id = ?", id).Update("n", gorm.Expr("n + 1")).Error; err != nil {
							return err
						}
						if rand.IntN(6) == 0 {
							return undo
						}
						return nil
					})
					if err != nil && !errors.Is(err, undo) {
						t.Error(err)
						return
					}
				}
			})
		}
		writing.Wait()
		var counters []counter
		if err := db.Find(&counters).Error; err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, c := range counters {
			want += int(c.N)
		}
		var page store.Page
		await.Until(t, fmt.Sprintf("%d records in the store", want), func() bool {
			var err error
			page, err = trail.Search(t.Context(), store.Query{Size: store.MaxSize}.WithDefaults())
			return err == nil && page.Total >= int64(want)
		})
		if page.Total != int64(want) || auditor.Stats().Emitted != int64(want) {
			t.Errorf("%d records in the store and %d emitted, want %d", page.Total, auditor.Stats().Emitted, want)
		}
		chains(t, page.Records, counters)
	})
}

// startConsumer carries what is in the outbox to a store of its own, and gives that.
func startConsumer(t *testing.T, o *outbox.Outbox, d database) *sqlstore.Store {
	t.Helper()
	config := rabbittest.Stream(t)
	startRelay(t, openQueue(t, o, fast()), rabbit.Dialer(config))
	trail, err := sqlstore.New(d.connect(t, d.address(t)), sqlstore.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := rabbit.NewAppender(rabbittest.Stream(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { letters.Close() })
	from := func(ctx context.Context) (consumer.Source, error) {
		return rabbit.NewSource(ctx, config, "outbox-test", stream.SourceOptions{})
	}
	c, err := consumer.New(from, trail, letters, consumer.Config{Stream: config.Stream, Logger: quiet, CommitInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if s := c.Stats(); s.DeadLettered != 0 {
			t.Errorf("%d dead letters", s.DeadLettered)
		}
	})
	return trail
}

// chains checks that the records of each object, in the order of their sequences, count it up one by one.
func chains(t *testing.T, records []event.Record, counters []counter) {
	t.Helper()
	if len(records) == store.MaxSize {
		t.Logf("only %d records are looked at", len(records))
		return
	}
	slices.SortFunc(records, func(a, b event.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	next := make(map[string]int)
	for i, r := range records {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has the sequence %d", i+1, r.Seq)
		}
		for _, c := range r.Changes {
			if c.Field != "n" {
				continue
			}
			was := next[r.ObjectID]
			if got, want := fmt.Sprintf("%s %s", c.Old, c.New), fmt.Sprintf("%d %d", was, was+1); got != want {
				t.Fatalf("object %s goes from and to %s, want %s", r.ObjectID, got, want)
			}
			next[r.ObjectID]++
		}
	}
	for _, c := range counters {
		if got := next[fmt.Sprint(c.ID)]; got != int(c.N) {
			t.Errorf("object %d: %d records of %d changes", c.ID, got, c.N)
		}
	}
}
