package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
	"github.com/gormtrail/audit/event"
)

func databases() map[string]func(testing.TB) gorm.Dialector {
	return map[string]func(testing.TB) gorm.Dialector{"sqlite": sqliteFile, "postgres": postgresSchema}
}

func as(username string) context.Context {
	return audit.WithActor(context.Background(), audit.Actor{ID: "1", Username: username})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRecorder_table is the table of the documentation.
func TestRecorder_table(t *testing.T) {
	t.Parallel()
	for name, dialector := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, rec := open(t, dialector(t), audit.Config{})
			db = db.WithContext(as("john.doe"))
			must(t, db.Create(&Employee{ID: 3, Name: "Bob"}).Error)
			ada := Customer{ID: 7, EmployeeID: 3, Name: "Ada", Phone: "0901", Password: "x", Balance: "12.50"}
			must(t, db.Create(&ada).Error)
			rec.Reset().Match(t,
				audittest.Want{Action: audit.ActionAdd, Object: "employee 3", Under: "-", By: "john.doe"},
				audittest.Want{Action: audit.ActionAdd, Object: "Customer 7", Under: "Employee 3", By: "1", Fields: audittest.Fields{
					"id": {audittest.None, 7}, "employee_id": {audittest.None, audittest.Any}, "name": {audittest.None, "Ada"},
					"Phone number": {audittest.None, "0901"}, "password": {audittest.None, audittest.Masked}, "balance": {audittest.None, 12.5},
				}},
			)
			rec.Records().Empty(t)
			err := audit.RunBatch(db, audit.BatchOptions{Action: audit.ActionImport}, func(ctx context.Context, b *audit.Batch) error {
				must(t, db.WithContext(ctx).Model(&ada).Update("phone", "0902").Error)
				rec.Records().Match(t, audittest.Want{
					Action: audit.ActionChange, Object: "customer 7", Under: "employee 3", By: "john.doe", Batch: b.ID(),
					Fields: audittest.Fields{"phone": {"0901", "0902"}},
				})
				return nil
			})
			must(t, err)
		})
	}
}

// TestRecorder_rolledBack: a suite that rolls each test back sees the records all the same.
func TestRecorder_rolledBack(t *testing.T) {
	t.Parallel()
	for name, dialector := range databases() {
		for _, prepared := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/prepared ", prepared), func(t *testing.T) {
				t.Parallel()
				db, rec := open(t, dialector(t), audit.Config{})
				tx := db.Session(&gorm.Session{PrepareStmt: prepared}).WithContext(as("eve")).Begin()
				defer tx.Rollback()
				rec.Pending(t, tx).Empty(t)
				must(t, tx.Create(&Employee{ID: 3, Name: "Bob"}).Error)
				must(t, tx.Transaction(func(tx *gorm.DB) error {
					return tx.Create(&Customer{ID: 7, EmployeeID: 3, Name: "Ada", Balance: "1"}).Error
				}))
				stop := errors.New("stop")
				err := tx.Transaction(func(tx *gorm.DB) error {
					must(t, tx.Model(&Customer{ID: 7}).Update("name", "Eve").Error)
					rec.Pending(t, tx).Of("customer 7").Contains(t, audittest.Want{Fields: audittest.Fields{"name": {"Ada", "Eve"}}})
					return stop
				})
				if !errors.Is(err, stop) {
					t.Fatal(err)
				}
				for range 2 { // asking changes nothing
					rec.Pending(t, tx).Match(t,
						audittest.Want{Action: audit.ActionAdd, Object: "employee 3", By: "eve"},
						audittest.Want{Action: audit.ActionAdd, Object: "customer 7", Under: "employee 3", Repr: "Bob"},
					)
				}
				must(t, tx.Rollback().Error)
				rec.Records().Empty(t)
				if got := audit.From(db).Stats().Emitted; got != 0 {
					t.Errorf("%d records emitted, want 0", got)
				}
			})
		}
	}
}

// TestPending_thenCommit: what was shown is what is recorded, but for the ids.
func TestPending_thenCommit(t *testing.T) {
	t.Parallel()
	db, rec := open(t, sqliteFile(t), audit.Config{})
	tx := db.WithContext(as("eve")).Begin()
	must(t, tx.Create(&Employee{ID: 3, Name: "Bob"}).Error)
	must(t, tx.Create(&Customer{ID: 7, EmployeeID: 3, Name: "Ada", Balance: "1"}).Error)
	must(t, tx.Delete(&Employee{ID: 3}).Error)
	want := rec.Pending(t, tx).Text()
	must(t, tx.Commit().Error)
	if got := rec.Records().Text(); got != want || got == "" {
		t.Errorf("recorded:\n%s\nwas pending:\n%s", got, want)
	}
	if _, err := audit.PendingRecords(tx); err == nil {
		f := failing(t, func(tb testing.TB) { rec.Pending(tb, tx).Empty(tb) })
		if f.errors != nil {
			t.Error(f.text())
		}
	}
	f := failing(t, func(tb testing.TB) { rec.Pending(tb, db) })
	if !f.fatal {
		t.Error("a handle in no transaction was accepted")
	}
	if _, err := audit.PendingRecords(db); !errors.Is(err, gorm.ErrInvalidTransaction) {
		t.Errorf("error is %v, want one of gorm.ErrInvalidTransaction", err)
	}
	if _, err := audit.PendingRecords(&gorm.DB{}); !errors.Is(err, audit.ErrNotInstalled) {
		t.Errorf("error is %v, want %v", err, audit.ErrNotInstalled)
	}
}

// TestRecorder_fail: the application's behaviour without a store can be tested.
func TestRecorder_fail(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for _, c := range []struct {
		name   string
		policy audit.Policy
		fails  bool
	}{{"strict", audit.Strict, true}, {"continue", audit.Continue, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, rec := open(t, sqliteFile(t), audit.Config{Policy: c.policy})
			rec.Fail(away)
			err := db.Create(&Employee{Name: "Bob"}).Error
			if c.fails != errors.Is(err, away) {
				t.Errorf("error is %v", err)
			}
			rec.Records().Empty(t)
			rec.Fail(nil)
			must(t, db.Create(&Employee{Name: "Eve"}).Error)
			rec.Records().Match(t, audittest.Want{Object: "employee", Fields: audittest.Fields{"id": {audittest.None, audittest.Any}, "name": {audittest.None, "Eve"}}})
		})
	}
}

// TestRecorder_config: what the application configured goes on to work.
func TestRecorder_config(t *testing.T) {
	t.Parallel()
	told, kept := 0, audittest.New()
	db, rec := open(t, sqliteFile(t), audit.Config{
		Sink:   kept, // takes the place of the application's; the installed recorder takes its
		Table:  "",
		After:  func(context.Context, []event.Record) { told++ },
		Before: func(_ context.Context, r *event.Record) bool { r.Reason = "because"; return true },
	})
	must(t, db.Create(&Employee{Name: "Bob"}).Error)
	rec.Records().Match(t, audittest.Want{Reason: "because"})
	kept.Records().Empty(t)
	if told != 1 {
		t.Errorf("After was called %d times, want once", told)
	}
	r := rec.Records()[0]
	if !r.Timestamp.Equal(audittest.Start) || r.Host != "" {
		t.Errorf("timestamp is %s, host %q", r.Timestamp, r.Host)
	}
	rec.Clock.Advance(time.Hour)
	must(t, db.Create(&Employee{Name: "Eve"}).Error)
	if got := rec.Records()[1].Timestamp; !got.Equal(audittest.Start.Add(time.Hour)) {
		t.Errorf("timestamp is %s an hour later", got)
	}
	rec.Clock.Set(audittest.Start)
	if !rec.Clock.Now().Equal(audittest.Start) {
		t.Error("the clock was not set")
	}
	must(t, kept.Write(t.Context(), rec.Records()))
	kept.Fail(errors.New("away"))
	if kept.Write(t.Context(), rec.Records()) == nil || len(kept.Records()) != 2 {
		t.Error("a failed write was kept, or not reported")
	}
	f := failing(t, func(tb testing.TB) { audittest.Install(tb, db, audit.Config{}) })
	if !f.fatal {
		t.Error("a second Auditor on one handle was accepted")
	}
}

// TestRecorder_concurrent is for the race detector.
func TestRecorder_concurrent(t *testing.T) {
	t.Parallel()
	db, rec := open(t, postgresSchema(t), audit.Config{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				if err := db.Create(&Employee{ID: uint(1 + i*10 + j), Name: "x"}).Error; err != nil {
					t.Error(err)
				}
				rec.Records()
				rec.Clock.Advance(time.Second)
			}
		})
	}
	wg.Wait()
	if n := len(rec.Records()); n != 40 {
		t.Errorf("%d records, want 40", n)
	}
}
