package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// TestBatch_panics_ConcurrentSafe: 16 goroutines use one batch while their transactions commit, fail and
// panic, and while the callback panics too.
func TestBatch_panics_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			var db *gorm.DB
			rec := &recorder{}
			take := rec.take
			if embedded {
				reg := company(t)
				must(t, plain.AutoMigrate(reg.Models()...))
				must(t, plain.Use(audit.New(audit.Config{Registry: reg})))
				db = plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"}))
				take = newRecords(t, plain)
			} else {
				db, _ = setup(t, plain, audit.Config{Sink: rec})
			}
			const workers, rows = 16, 3
			b, err := audit.StartBatch(db, audit.BatchOptions{Action: audit.ActionImport, Progress: func(int64, int64) { panic("progress") }})
			must(t, err)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range rows {
						func() {
							defer func() {
								if v := recover(); v != nil {
									b.AddError(fmt.Errorf("panic: %v", v))
								}
							}()
							b.AddError(db.WithContext(b.Context()).Transaction(func(tx *gorm.DB) error {
								if err := tx.Create(&Customer{Name: fmt.Sprint(w, "/", i)}).Error; err != nil {
									return err
								}
								switch i {
								case 0:
									return nil
								case 1:
									return errors.New("undone")
								}
								panic("boom")
							}))
						}()
					}
				})
			}
			wg.Wait()
			must(t, b.End())
			var records, summaries int
			for _, r := range take() {
				switch {
				case r.BatchSummary:
					summaries++
					if r.TotalProcessed != workers || r.ErrorCount != 2*workers || len(r.Errors) != 20 {
						t.Errorf("summary %+v", r)
					}
				case r.BatchID == b.ID():
					records++
				}
			}
			if records != workers || summaries != 1 {
				t.Errorf("%d records and %d summaries, want %d and 1", records, summaries, workers)
			}
			if n := count(t, plain); n != workers {
				t.Errorf("%d rows, want %d", n, workers)
			}
		})
	}
}

// TestBatch_countsAnObjectOnce, in how many transactions it is written ever, and for the batch around as well.
func TestBatch_countsAnObjectOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		opts := audit.BatchOptions{Action: audit.ActionImport, Always: true}
		must(t, audit.RunBatch(db, opts, func(ctx context.Context, _ *audit.Batch) error {
			c := Customer{Name: "Ada"}
			must(t, db.WithContext(ctx).Create(&c).Error)
			must(t, db.WithContext(ctx).Model(&c).Update("phone", "1").Error)
			return audit.RunBatch(db.WithContext(ctx), opts, func(ctx context.Context, _ *audit.Batch) error {
				must(t, db.WithContext(ctx).Model(&c).Update("phone", "2").Error)
				return db.WithContext(ctx).Create(&Customer{Name: "Bob"}).Error
			})
		}))
		records := rec.take()
		if len(records) != 6 || records[4].TotalProcessed != 2 || records[5].TotalProcessed != 2 {
			t.Errorf("%s%+v", lines(records), records)
		}
	})
}
