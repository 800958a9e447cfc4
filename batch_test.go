package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

func TestBatch_linksRecords(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		opts := audit.BatchOptions{Action: "import", Model: &Customer{}, Extra: audit.Fields{"import_source": "customers.xlsx"}}

		// No errors, no summary.
		b, err := audit.StartBatch(db, opts)
		must(t, err)
		must(t, db.WithContext(b.Context()).Create(&[]Customer{{Name: "Ada"}, {Name: "Bob"}}).Error)
		b.AddError(nil)
		must(t, b.End())
		must(t, b.End())
		records := rec.take()
		if len(records) != 2 {
			t.Fatal(lines(records))
		}
		for _, r := range records {
			if r.BatchID != b.ID() || r.BatchAction != audit.ActionImport || r.Action != audit.ActionAdd || r.Extra["import_source"] != "customers.xlsx" || r.UserID != "7" {
				t.Errorf("record %+v", r)
			}
		}

		// Rolled-back and failed rows are not processed, and the summary is the last record.
		err = audit.RunBatch(db, opts, func(ctx context.Context, b *audit.Batch) error {
			tx := db.WithContext(ctx)
			must(t, tx.Create(&Customer{Name: "Cyd"}).Error)
			must(t, tx.Create(&Customer{Name: "Dan"}).Error)
			_ = tx.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Create(&Customer{Name: "Eve"}).Error)
				return errors.New("undone")
			})
			for i := range 30 {
				b.AddError(fmt.Errorf("row %d: no", i))
			}
			return errors.New("url https://u:pw@h/ " + strings.Repeat("x", 3000))
		})
		if err == nil || !strings.HasPrefix(err.Error(), "url") {
			t.Errorf("RunBatch: %v", err)
		}
		records = rec.take()
		if len(records) != 3 {
			t.Fatal(lines(records))
		}
		s := records[2]
		if !s.BatchSummary || s.TotalProcessed != 2 || s.ErrorCount != 31 || len(s.Errors) != 20 || s.Errors[0] != "row 0: no" || s.Action != audit.ActionImport ||
			s.ObjectType != "customer" || s.ObjectID != "" || s.BatchID != records[0].BatchID || s.BatchAction != audit.ActionImport || s.UserID != "7" || s.Extra["import_source"] != "customers.xlsx" {
			t.Errorf("summary %+v", s)
		}
	})
}

func TestBatch_summaryOutlivesTheTransaction(t *testing.T) {
	t.Parallel()
	for _, inTx := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			rec := &recorder{}
			cfg := audit.Config{Sink: rec}
			if inTx {
				cfg = audit.Config{TxSink: (*txRecorder)(rec)}
			}
			db, _ := setup(t, plain, cfg)
			for _, undo := range []bool{false, true} {
				err := db.Transaction(func(tx *gorm.DB) error {
					return audit.RunBatch(tx, audit.BatchOptions{Action: audit.ActionImport}, func(ctx context.Context, b *audit.Batch) error {
						must(t, tx.WithContext(ctx).Create(&Customer{Name: "Ada"}).Error)
						// The same object twice is one object.
						must(t, tx.WithContext(ctx).Model(&Customer{}).Where("name = ?", "Ada").Update("email", fmt.Sprint(undo)).Error)
						if undo {
							return errors.New("undone")
						}
						b.AddError(errors.New("row 2"))
						return nil
					})
				})
				if (err != nil) != undo {
					t.Error(err)
				}
				records := rec.take()
				s := records[len(records)-1]
				want := int64(1)
				if undo {
					want = 0
					if len(records) != 1 && !inTx {
						t.Error(lines(records))
					}
				}
				if !s.BatchSummary || s.TotalProcessed != want || s.ErrorCount != 1 || (s.Outcome == "failure") != undo {
					t.Errorf("undo %v: %s%+v", undo, lines(records), s)
				}
			}
		})
	}
}

// txRecorder is a recorder in the transaction.
type txRecorder recorder

func (r *txRecorder) WriteTx(ctx context.Context, _ gorm.ConnPool, records []event.Record) error {
	return (*recorder)(r).Write(ctx, records)
}

func TestBatch_mistakesAndPanics(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	if _, err := audit.StartBatch(plain, audit.BatchOptions{Action: "X"}); !errors.Is(err, audit.ErrNotInstalled) {
		t.Errorf("without plugin: %v", err)
	}
	if err := audit.RunBatch(plain, audit.BatchOptions{Action: "X"}, nil); !errors.Is(err, audit.ErrNotInstalled) {
		t.Errorf("without plugin: %v", err)
	}
	db, rec := setup(t, plain, audit.Config{})
	for _, opts := range []audit.BatchOptions{{}, {Action: "a b"}, {Action: "X", Model: 3}} {
		if _, err := audit.StartBatch(db, opts); !errors.Is(err, audit.ErrEntry) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("recovered %v", v)
			}
		}()
		_ = audit.RunBatch(db, audit.BatchOptions{Action: "APPROVE", Model: &Category2{}}, func(context.Context, *audit.Batch) error { panic("boom") })
	}()
	s := rec.only(t)
	if s.Errors[0] != "panic: boom" || s.ObjectType != "category2" || s.Action != "APPROVE" {
		t.Errorf("summary %+v", s)
	}
	// Without an actor a batch is an audit context still.
	b, err := audit.StartBatch(plain, audit.BatchOptions{Action: "APPROVE"})
	must(t, err)
	must(t, plain.WithContext(b.Context()).Create(&Customer{Name: "Ada"}).Error)
	if r := rec.only(t); r.ActorType != audit.ActorSystem || r.BatchID != b.ID() {
		t.Errorf("record %+v", r)
	}
}
