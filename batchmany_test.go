package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

func TestBatch_always_summarizesWithoutErrors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		opts := audit.BatchOptions{Action: audit.ActionImport, Model: &Customer{}, Always: true}
		must(t, audit.RunBatch(db, opts, func(ctx context.Context, _ *audit.Batch) error {
			return db.WithContext(ctx).Create(&[]Customer{{Name: "Ada"}, {Name: "Bob"}}).Error
		}))
		records := rec.take()
		if s := records[len(records)-1]; len(records) != 3 || !s.BatchSummary || s.TotalProcessed != 2 || s.ErrorCount != 0 || len(s.Errors) != 0 || s.Outcome != "" {
			t.Errorf("%s%+v", lines(records), s)
		}
		// Nothing to do is no failure.
		must(t, audit.RunBatch(db, opts, func(context.Context, *audit.Batch) error { return nil }))
		if s := rec.only(t); !s.BatchSummary || s.TotalProcessed != 0 || s.Outcome != "" {
			t.Errorf("%+v", s)
		}
		if v := rec.take(); v != nil {
			t.Error(lines(v))
		}
	})
}

func TestBatch_nested(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		var outer, inner *audit.Batch
		err := audit.RunBatch(db, audit.BatchOptions{Action: audit.ActionImport, Always: true, Extra: audit.Fields{"a": "outer", "b": "outer"}}, func(ctx context.Context, b *audit.Batch) error {
			outer = b
			must(t, db.WithContext(ctx).Create(&Customer{Name: "Ada"}).Error)
			err := audit.RunBatch(db.WithContext(ctx), audit.BatchOptions{Action: "APPROVE", Always: true, Extra: audit.Fields{"b": "inner"}}, func(ctx context.Context, b *audit.Batch) error {
				inner = b
				must(t, db.WithContext(ctx).Create(&Customer{Name: "Bob"}).Error)
				return errors.New("row 2")
			})
			if err == nil || err.Error() != "row 2" {
				t.Errorf("inner: %v", err)
			}
			// Back in the outer one.
			return db.WithContext(ctx).Create(&Customer{Name: "Cyd"}).Error
		})
		must(t, err)
		records := rec.take()
		if len(records) != 5 {
			t.Fatal(lines(records))
		}
		for i, want := range []*audit.Batch{outer, inner, inner, outer, outer} {
			r := records[i]
			if r.BatchID != want.ID() {
				t.Errorf("record %d is of batch %s, want %s", i, r.BatchID, want.ID())
			}
			parent, b := "<nil>", "outer"
			if want == inner {
				parent, b = outer.ID(), "inner"
			}
			if fmt.Sprint(r.Extra[audit.ExtraParentBatch]) != parent || r.Extra["a"] != "outer" || r.Extra["b"] != b {
				t.Errorf("record %d: extra %v", i, r.Extra)
			}
		}
		if s := records[2]; !s.BatchSummary || s.TotalProcessed != 1 || s.ErrorCount != 1 {
			t.Errorf("inner summary %+v", s)
		}
		if s := records[4]; !s.BatchSummary || s.TotalProcessed != 3 || s.ErrorCount != 0 {
			t.Errorf("outer summary %+v", s)
		}
	})
}

func TestBatch_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		const workers, rows = 8, 10
		var mu sync.Mutex
		var last [2]int64
		calls, overlap := 0, 0
		b, err := audit.StartBatch(db, audit.BatchOptions{Action: audit.ActionImport, Progress: func(processed, failed int64) {
			if !mu.TryLock() {
				overlap++
				return
			}
			defer mu.Unlock()
			if processed < last[0] || failed < last[1] {
				t.Errorf("progress fell from %v to %d, %d", last, processed, failed)
			}
			last = [2]int64{processed, failed}
			if calls++; calls%7 == 0 {
				panic("progress")
			}
		}})
		must(t, err)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rows {
					err := db.WithContext(b.Context()).Transaction(func(tx *gorm.DB) error {
						if err := tx.Create(&Customer{Name: fmt.Sprint(w, "/", i)}).Error; err != nil || i%2 == 0 {
							return err
						}
						return fmt.Errorf("row %d/%d", w, i)
					})
					b.AddError(err)
				}
			})
		}
		wg.Wait()
		must(t, b.End())
		records := rec.take()
		s := records[len(records)-1]
		if len(records) != workers*rows/2+1 || !s.BatchSummary || s.TotalProcessed != workers*rows/2 || s.ErrorCount != workers*rows/2 || len(s.Errors) != 20 {
			t.Errorf("%d records, summary %+v", len(records), s)
		}
		for _, r := range records {
			if r.BatchID != b.ID() {
				t.Errorf("a record of batch %q", r.BatchID)
			}
		}
		if want := [2]int64{workers * rows / 2, workers * rows / 2}; last != want || overlap != 0 || calls == 0 {
			t.Errorf("progress ended with %v, want %v; %d of %d calls overlapped", last, want, overlap, calls)
		}
		if n := audit.From(db).Stats().Errors[audit.KindHook]; n == 0 || n > int64(calls/7) {
			t.Errorf("%d panics told, want up to %d", n, calls/7)
		}
	})
}

// TestBatch_panicInItsTransaction: the rows are rolled back, the summary stays.
func TestBatch_panicInItsTransaction(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			rec := &recorder{}
			take := rec.take
			db := plain
			if embedded {
				reg := company(t)
				must(t, plain.AutoMigrate(reg.Models()...))
				must(t, plain.Use(audit.New(audit.Config{Registry: reg, Policy: audit.Strict})))
				db = plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"}))
				take = newRecords(t, plain)
			} else {
				db, _ = setup(t, plain, audit.Config{Sink: rec})
			}
			func() {
				defer func() {
					if v := recover(); v != "boom" {
						t.Errorf("recovered %v", v)
					}
				}()
				_ = db.Transaction(func(tx *gorm.DB) error {
					return audit.RunBatch(tx, audit.BatchOptions{Action: audit.ActionImport}, func(ctx context.Context, _ *audit.Batch) error {
						must(t, tx.WithContext(ctx).Create(&Customer{Name: "Ada"}).Error)
						panic("boom")
					})
				})
			}()
			records := take()
			if len(records) != 1 {
				t.Fatalf("%d records, want the summary:\n%s", len(records), lines(records))
			}
			if s := records[0]; !s.BatchSummary || s.TotalProcessed != 0 || s.ErrorCount != 1 || s.Errors[0] != "panic: boom" || s.Outcome != "failure" || s.Action != event.ActionImport {
				t.Errorf("%+v", s)
			}
			if n := count(t, plain); n != 0 {
				t.Errorf("%d customers, want none", n)
			}
		})
	}
}

// TestBatch_progressUsesTheBatch would wait for ever if the callback ran under a lock.
func TestBatch_progressUsesTheBatch(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	db, rec := setup(t, plain, audit.Config{})
	var b *audit.Batch
	var seen [][2]int64
	b, err := audit.StartBatch(db, audit.BatchOptions{Action: audit.ActionImport, Progress: func(processed, failed int64) {
		seen = append(seen, [2]int64{processed, failed})
		if processed == 1 && failed == 0 {
			b.AddError(errors.New("from the callback"))
			must(t, db.WithContext(b.Context()).Create(&Customer{Name: "Bob"}).Error)
		}
	}})
	must(t, err)
	must(t, db.WithContext(b.Context()).Create(&Customer{Name: "Ada"}).Error)
	must(t, b.End())
	if got := fmt.Sprint(seen); got != "[[1 0] [2 1]]" {
		t.Errorf("progress %s", got)
	}
	if records := rec.take(); len(records) != 3 || records[2].TotalProcessed != 2 {
		t.Error(lines(records))
	}
	// What comes after the summary is told, not swallowed.
	b.AddError(panickingError{})
	if n := audit.From(db).Stats().Errors[audit.KindBatch]; n != 1 {
		t.Errorf("%d late errors told, want 1", n)
	}
}

type panickingError struct{}

func (panickingError) Error() string { panic("error") }
