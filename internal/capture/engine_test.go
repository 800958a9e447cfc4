package capture_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

func TestInstall_unsupportedDatabase_isRefused(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, &gorm.Config{})
	db.Config.Dialector = renamed{db.Config.Dialector}
	r := &recorder{}
	err := capture.Install(db, r.hooks(), capture.Config{})
	if !errors.Is(err, capture.ErrDialect) || !strings.Contains(err.Error(), `"oracle"`) {
		t.Error(err)
	}
}

type renamed struct{ gorm.Dialector }

func (renamed) Name() string { return "oracle" }

func TestInstall_wrongConfig_isNamed(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, &gorm.Config{})
	r := &recorder{}
	if err := capture.Install(db, r.hooks(), capture.Config{MaxRows: -1}); !errors.Is(err, capture.ErrConfig) || !strings.Contains(err.Error(), "MaxRows is -1") {
		t.Error(err)
	}
	h := r.hooks()
	h.Captured = nil
	if err := capture.Install(db, h, capture.Config{}); !errors.Is(err, capture.ErrConfig) || !strings.Contains(err.Error(), "Captured") {
		t.Error(err)
	}
}

func TestInstall_twice_recordsOnce(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{PrepareStmt: true}, r, &Order{})
		if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
			t.Fatal(err)
		}
		db.Create(&Order{Title: "a"})
		if diff := cmp.Diff([]string{"insert orders 1"}, r.ops()); diff != "" {
			t.Error(diff)
		}
		if sqlDB, err := db.DB(); err != nil || sqlDB.Ping() != nil {
			t.Error(err)
		}
	})
}

// A session made before the plugin keeps the pool that is not observed.
func TestInstall_sessionMadeBefore_isObserved(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t, &gorm.Config{})
		if err := db.AutoMigrate(&Order{}, &Doc{}); err != nil {
			t.Fatal(err)
		}
		before := db.WithContext(t.Context())
		r := &recorder{}
		r.register(t, db, &Order{}, &Doc{})
		if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
			t.Fatal(err)
		}
		if err := before.Create(&Order{Title: "a"}).Error; err != nil {
			t.Fatal(err)
		}
		if err := before.Create(&[]Doc{{ID: "x"}, {ID: "x"}}).Error; err == nil {
			t.Fatal("no error")
		}
		if diff := cmp.Diff([]string{"insert orders 1"}, r.ops()); diff != "" {
			t.Error(diff)
		}
		// Its own transactions cannot be seen: what they change is released at once, and says so.
		_ = before.Transaction(func(tx *gorm.DB) error {
			tx.Create(&Order{Title: "b"})
			return errNo
		})
		if diff := cmp.Diff([]string{"insert orders 1", "insert orders 2 (transaction not observed)"}, r.ops()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{capture.ReasonUnobserved}, r.skipped); diff != "" {
			t.Error(diff)
		}
	})
}

// A sink that writes in transactions shares the end of one that is not observed.
func TestUnobserved_sinkInTransaction_sharesItsEnd(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		db := d.open(t, &gorm.Config{})
		if err := db.AutoMigrate(&Order{}, &Line{}); err != nil {
			t.Fatal(err)
		}
		r := &recorder{inTx: true, beforeCommit: writeLine}
		r.register(t, db, &Order{})
		if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
			t.Fatal(err)
		}
		sqlDB, _ := db.DB()
		for _, commit := range []bool{false, true} {
			raw, err := sqlDB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			s := db.Session(&gorm.Session{NewDB: true, Context: t.Context()})
			s.Statement.ConnPool = raw
			if err := s.Create(&Order{Title: "a"}).Error; err != nil {
				t.Fatal(err)
			}
			if commit {
				err = raw.Commit()
			} else {
				err = raw.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var orders, lines int64
		db.Model(&Order{}).Count(&orders)
		db.Model(&Line{}).Count(&lines)
		if orders != 1 || lines != 1 || len(r.skipped) != 0 {
			t.Errorf("%d orders, %d records, skipped %v", orders, lines, r.skipped)
		}
	})
}

// writeLine is a sink that writes one line for each transaction.
func writeLine(ctx context.Context, conn gorm.ConnPool, _ []tx.Item) error {
	_, err := conn.ExecContext(ctx, "INSERT INTO notes (place, text) VALUES (1, 'record')")
	return err
}

func TestBeforeCommit_error_rollsBackAndIsReturned(t *testing.T) {
	t.Parallel()
	for _, skip := range []bool{false, true} {
		forEachNamed(t, map[bool]string{false: "default", true: "skip"}[skip], func(t *testing.T, d database) {
			refuse := false
			r := &recorder{inTx: true, beforeCommit: func(context.Context, gorm.ConnPool, []tx.Item) error {
				if refuse {
					return errNo
				}
				return nil
			}}
			db := setup(t, d, &gorm.Config{SkipDefaultTransaction: skip}, r, &Order{})
			db.Create(&Order{ID: 1, Amount: 1})
			refuse = true
			for name, err := range map[string]error{
				"create": db.Create(&Order{ID: 2}).Error,
				"update": amount(db, 1, 2),
				"delete": db.Delete(&Order{ID: 1}).Error,
				"transaction": db.Transaction(func(tx *gorm.DB) error {
					return amount(tx, 1, 3)
				}),
				"text": func() error {
					tx := db.Begin()
					defer tx.Rollback()
					return errors.Join(amount(tx, 1, 3), tx.Exec("COMMIT").Error)
				}(),
			} {
				if !errors.Is(err, errNo) {
					t.Errorf("%s: %v", name, err)
				}
			}
			var got []Order
			db.Find(&got)
			if len(got) != 1 || got[0].Amount != 1 || len(r.ops()) != 1 || r.discarded != 5 {
				t.Error(got, r.ops(), r.discarded)
			}
		})
	}
}

func forEachNamed(t *testing.T, name string, f func(t *testing.T, d database)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		forEach(t, f)
	})
}

// The deletes of one call outside a transaction are one unit, so that children can be told from their
// parent.
func TestDelete_associationsWithoutTransaction_areOneUnit(t *testing.T) {
	t.Parallel()
	for name, inTx := range map[string]bool{"after commit": false, "in transaction": true} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			r := &recorder{inTx: inTx}
			db := setup(t, d, &gorm.Config{SkipDefaultTransaction: true}, r, &Company{}, &Customer{}, &Profile{}, &Order{}, &Tag{}, &Toy{})
			c := Customer{Name: "a", Orders: []Order{{Title: "x"}, {Title: "y"}}, Profile: &Profile{Bio: "b"}}
			if err := db.Create(&c).Error; err != nil {
				t.Fatal(err)
			}
			r.reset()
			if err := db.Unscoped().Select("Orders", "Profile").Delete(&c).Error; err != nil {
				t.Fatal(err)
			}
			if len(r.ops()) != 4 || r.units != 1 {
				t.Errorf("%d units: %v", r.units, r.ops())
			}
		})
	}
}

func TestDelete_associationsInOneTransaction_areUndoneTogether(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{inTx: true}
		db := setup(t, d, &gorm.Config{SkipDefaultTransaction: true}, r, &Company{}, &Customer{}, &Profile{}, &Order{}, &Tag{}, &Toy{})
		c := Customer{Name: "a", Orders: []Order{{Title: "x"}}, Profile: &Profile{Bio: "b"}}
		if err := db.Create(&c).Error; err != nil {
			t.Fatal(err)
		}
		r.reset()
		// The profile keeps the customer from being deleted.
		if err := db.Unscoped().Select("Orders").Delete(&c).Error; err == nil {
			t.Fatal("no error")
		}
		var orders int64
		db.Model(&Order{}).Count(&orders)
		if orders != 1 || len(r.ops()) != 0 {
			t.Error(orders, r.ops())
		}
		// The connection is free again.
		if err := db.Create(&Order{Title: "z"}).Error; err != nil {
			t.Error(err)
		}
	})
}

func TestLimits_beyond_giveOneSummary(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]capture.Config{
		"rows": {MaxRows: 5}, "bytes": {MaxBytes: 500}, "transaction": {MaxTxBytes: 500},
	} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			r := &recorder{}
			db := d.open(t, &gorm.Config{})
			if err := db.AutoMigrate(&Doc{}); err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Doc{})
			d.install(t, db, r.hooks(), cfg)
			var docs []Doc
			for i := range 10 {
				docs = append(docs, Doc{ID: string(rune('a' + i)), Body: []byte(strings.Repeat("x", 50))})
			}
			for _, step := range []struct {
				run  *gorm.DB
				op   capture.Op
				rows int64
			}{
				{db.Create(&docs), capture.Insert, 10},
				{db.Model(&Doc{}).Where("id > ?", "a").Update("order", 3), capture.Update, 9},
				{db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&docs), capture.Update, 10},
				{db.Where("id > ?", "a").Delete(&Doc{}), capture.Delete, 9},
			} {
				if step.run.Error != nil {
					t.Fatal(step.run.Error)
				}
				if len(r.summaries) == 0 {
					t.Fatal("no summary")
				}
				s := r.summaries[0]
				r.summaries = r.summaries[1:]
				if s.Op != step.op || s.Rows != step.rows || s.Table != "docs" || strings.Contains(s.Statement, "xxx") || s.Time.IsZero() {
					t.Errorf("%+v, want %d rows of %v", s, step.rows, step.op)
				}
			}
			if len(r.ops()) != 0 || len(r.summaries) != 0 {
				t.Error(r.ops(), r.summaries)
			}
		})
	}
}

// What is rolled back to a savepoint makes room again.
func TestLimits_savepoint_freesTheTransaction(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := openSQLite(t, &gorm.Config{})
	if err := db.AutoMigrate(&Order{}); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &Order{})
	if err := capture.Install(db, r.hooks(), capture.Config{MaxTxBytes: 1000}); err != nil {
		t.Fatal(err)
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		for range 20 {
			_ = tx.Transaction(func(tx *gorm.DB) error {
				tx.Create(&Order{Title: strings.Repeat("x", 300)})
				return errNo
			})
		}
		return tx.Create(&Order{Title: strings.Repeat("x", 300)}).Error
	})
	if err != nil || len(r.ops()) != 1 || len(r.summaries) != 0 {
		t.Error(err, r.ops(), r.summaries)
	}
}

func TestAdd_followsTheTransaction(t *testing.T) {
	t.Parallel()
	for name, inTx := range map[string]bool{"after commit": false, "in transaction": true} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			r := &recorder{inTx: inTx}
			if inTx {
				r.beforeCommit = writeLine
			}
			db := setup(t, d, &gorm.Config{}, r, &Order{})
			if err := db.AutoMigrate(&Line{}); err != nil {
				t.Fatal(err)
			}
			var ends []bool
			end := func(committed bool) { ends = append(ends, committed) }
			add := func(db *gorm.DB, v string) {
				if err := capture.Add(db, v); err != nil {
					t.Error(err)
				}
			}
			add(db, "alone")
			_ = db.Transaction(func(tx *gorm.DB) error {
				add(tx, "lost")
				return errors.Join(capture.OnEnd(tx, end), errNo)
			})
			_ = db.Transaction(func(tx *gorm.DB) error {
				add(tx, "kept")
				_ = tx.Transaction(func(tx *gorm.DB) error {
					add(tx, "lost too")
					return errors.Join(capture.OnEnd(tx, end), errNo)
				})
				if len(r.items) != 1 {
					t.Error("released before commit")
				}
				return capture.OnEnd(tx, end)
			})
			if err := capture.OnEnd(db, end); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]tx.Item{"alone", "kept"}, r.items); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]bool{false, true, true, true}, ends); diff != "" {
				t.Error(diff)
			}
			var lines int64
			db.Model(&Line{}).Count(&lines)
			if want := map[bool]int64{true: 2}[inTx]; lines != want {
				t.Errorf("%d records", lines)
			}
		})
	}
}

func TestAdd_notInstalled_isAnError(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, &gorm.Config{})
	if err := capture.Add(db, "x"); !errors.Is(err, capture.ErrNotInstalled) {
		t.Error(err)
	}
	if err := capture.OnEnd(db, func(bool) {}); !errors.Is(err, capture.ErrNotInstalled) {
		t.Error(err)
	}
}

func TestHooks_panicking_leaveTheWriteAlone(t *testing.T) {
	t.Parallel()
	for _, hook := range []string{"Model", "Captured", "BeforeCommit", "AfterCommit", "Discarded", "Skipped", "Failed"} {
		forEachNamed(t, hook, func(t *testing.T, d database) {
			r := &recorder{inTx: true}
			h := r.hooks()
			switch hook {
			case "Model":
				h.Model = func(*gorm.Statement) *capture.Model { panic("p") }
			case "Captured":
				h.Captured = func(*gorm.Statement, []capture.Change, *capture.Summary) []tx.Item { panic("p") }
			case "BeforeCommit":
				h.BeforeCommit = func(context.Context, gorm.ConnPool, []tx.Item) error { panic("p") }
			case "AfterCommit":
				h.AfterCommit = func(context.Context, []tx.Item) { panic("p") }
			case "Discarded":
				h.Discarded = func([]tx.Item) { panic("p") }
			case "Skipped":
				h.Skipped = func(*gorm.Statement, string) { panic("p") }
			case "Failed":
				h.Model = func(*gorm.Statement) *capture.Model { panic("p") }
				h.Failed = func(*gorm.Statement, error) { panic("p") }
			}
			db := d.open(t, &gorm.Config{})
			if err := db.AutoMigrate(&Order{}); err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Order{})
			if err := capture.Install(db, h, capture.Config{}); err != nil {
				t.Fatal(err)
			}
			err := errors.Join(db.Create(&Order{ID: 1}).Error, amount(db, 1, 2), db.Exec("UPDATE orders SET title = 'x'").Error,
				db.Transaction(func(tx *gorm.DB) error { return amount(tx, 1, 3) }))
			_ = db.Transaction(func(tx *gorm.DB) error { return errors.Join(amount(tx, 1, 4), errNo) })
			var o Order
			db.First(&o)
			if err != nil || o.Amount != 3 || o.Title != "x" {
				t.Error(err, o)
			}
			if len(r.failed) == 0 && hook != "Failed" {
				t.Error("nobody was told")
			}
		})
	}
}

func TestStrict_panicInCaptured_failsTheWrite(t *testing.T) {
	t.Parallel()
	for name, skip := range map[string]bool{"default": false, "skip": true} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			r := &recorder{inTx: true, strict: true}
			h := r.hooks()
			h.Captured = func(*gorm.Statement, []capture.Change, *capture.Summary) []tx.Item { panic("p") }
			db := d.open(t, &gorm.Config{SkipDefaultTransaction: skip})
			if err := db.AutoMigrate(&Order{}); err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Order{})
			if err := capture.Install(db, h, capture.Config{}); err != nil {
				t.Fatal(err)
			}
			if err := db.Create(&Order{ID: 1}).Error; !errors.Is(err, capture.ErrCapture) {
				t.Error(err)
			}
			var n int64
			db.Model(&Order{}).Count(&n)
			if n != 0 {
				t.Errorf("%d rows stayed", n)
			}
		})
	}
}

// With one connection, nothing of ours may ask for a second.
func TestPool_oneConnection_doesNotDeadlock(t *testing.T) {
	t.Parallel()
	for name, skip := range map[string]bool{"default": false, "skip": true} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			r := &recorder{inTx: skip, beforeCommit: writeLine}
			db := setup(t, d, &gorm.Config{SkipDefaultTransaction: skip}, r, &Order{}, &Line{})
			delete(r.models, "notes")
			sqlDB, _ := db.DB()
			sqlDB.SetMaxOpenConns(1)
			err := errors.Join(db.Create(&Order{ID: 1}).Error, amount(db, 1, 2), db.Save(&Order{ID: 9}).Error, db.Delete(&Order{ID: 1}).Error)
			if err != nil || len(r.ops()) != 4 {
				t.Error(err, r.ops())
			}
		})
	}
}

func TestExcludedColumn_isNeverRead(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Doc{})
		m := r.models["docs"]
		r.models["docs"] = &capture.Model{Schema: m.Schema, Columns: []string{"id", "order"}}
		db.Create(&Doc{ID: "a", Body: []byte("secret")})
		db.Model(&Doc{ID: "a"}).Updates(map[string]any{"body": "secret2", "order": 2})
		db.Model(&Doc{ID: "a"}).Updates(map[string]any{"body": "secret3"})
		db.Delete(&Doc{ID: "a"})
		if diff := cmp.Diff([]string{"insert docs a", "update docs a", "delete docs a"}, r.ops()); diff != "" {
			t.Error(diff)
		}
		for _, c := range r.committed {
			for _, image := range [][]any{c.Before, c.After} {
				if image != nil && len(image) != 2 {
					t.Error(image)
				}
			}
		}
	})
}

// A column of the model that was not migrated yet must not break the write, least of all abort a
// transaction of PostgreSQL.
func TestMissingColumn_isLeftOut(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		db.Create(&Order{ID: 1})
		if err := db.Migrator().DropColumn(&Order{}, "title"); err != nil {
			t.Fatal(err)
		}
		r.reset()
		err := db.Transaction(func(tx *gorm.DB) error { return amount(tx, 1, 3) })
		if err != nil || len(r.ops()) != 1 {
			t.Error(err, r.ops(), r.failed)
		}
	})
}

func TestConnectionPool_helpersStillWork(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		err := db.Transaction(func(g *gorm.DB) error {
			if _, err := g.DB(); err != nil {
				return err
			}
			u, ok := g.Statement.ConnPool.(interface{ Unwrap() gorm.ConnPool })
			if !ok {
				return errNo
			}
			if _, ok := u.Unwrap().(*sql.Tx); !ok {
				return errNo
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
