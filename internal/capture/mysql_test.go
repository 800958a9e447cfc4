package capture_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
)

func forEachMySQL(t *testing.T, f func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range mysqls {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// What is read back after an update takes as many statements as its keys need parameters.
func TestMySQL_moreRowsThanParameters(t *testing.T) {
	t.Parallel()
	const rows = 66_000 // a statement has at most 65,535 parameters
	r := &recorder{}
	db := openMariaDB(t, &gorm.Config{})
	if err := db.AutoMigrate(&Order{}); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &Order{})
	database{}.install(t, db, r.hooks(), capture.Config{MaxRows: rows, MaxBytes: 1 << 30, MaxTxBytes: 1 << 30})
	if err := db.Exec("INSERT INTO orders (id, amount) SELECT seq, 1 FROM seq_1_to_66000").Error; err != nil {
		t.Fatal(err)
	}
	r.reset()
	if res := db.Model(&Order{}).Where("id > 0").Update("amount", gorm.Expr("amount + 1")); res.Error != nil || res.RowsAffected != rows {
		t.Fatal(res.RowsAffected, res.Error)
	}
	got := r.changes()
	if len(got) != rows {
		t.Fatalf("%d changes, want %d", len(got), rows)
	}
	for _, c := range got {
		if c.Before == nil || c.After == nil {
			t.Fatalf("half a change: %+v", c)
		}
	}
}

// A deadlock rolls the whole transaction back; what the victim does afterwards commits statement by
// statement, and its Commit gives no error.
func TestMySQL_deadlock_dropsWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]bool{"plain": false, "prepared": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachMySQL(t, func(t *testing.T, d database) {
				r := &recorder{}
				db := setup(t, d, &gorm.Config{PrepareStmt: prepare}, r, &Order{})
				if err := db.Create(&[]Order{{ID: 1}, {ID: 2}, {ID: 3}, {ID: 4}}).Error; err != nil {
					t.Fatal(err)
				}
				r.reset()
				orders := oracle.Table{Name: "orders", Keys: []string{"id"}}
				sqlDB, _ := db.DB()
				before, err := oracle.Take(t.Context(), sqlDB, orders)
				if err != nil {
					t.Fatal(err)
				}
				var first, second sync.WaitGroup
				first.Add(2)
				victims := make(chan bool, 2)
				for g := range uint(2) {
					second.Go(func() {
						tx := db.Begin()
						if err := amount(tx, g+1, 10); err != nil {
							t.Error(err)
						}
						first.Done()
						first.Wait()
						victims <- amount(tx, 2-g, 20) != nil
						if err := amount(tx, g+3, 30); err != nil {
							t.Error(err)
						}
						if err := tx.Commit().Error; err != nil {
							t.Error(err)
						}
					})
				}
				second.Wait()
				if a, b := <-victims, <-victims; a == b {
					t.Fatal("one of them was to be the victim")
				}
				after, err := oracle.Take(t.Context(), sqlDB, orders)
				if err != nil {
					t.Fatal(err)
				}
				got, wrong := before.Replay(r.changes(), orders)
				if diff := cmp.Diff(after, got); diff != "" || len(wrong) > 0 || len(r.ops()) != 4 {
					t.Error(wrong, diff, r.ops())
				}
			})
		})
	}
}

func TestMySQL_definition_commitsTheTransaction(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]bool{"plain": false, "prepared": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachMySQL(t, func(t *testing.T, d database) {
				r := &recorder{}
				db := setup(t, d, &gorm.Config{PrepareStmt: prepare}, r, &Order{})
				db.Create(&[]Order{{ID: 1}, {ID: 2}})
				r.reset()
				tx := db.Begin()
				if err := amount(tx, 1, 10); err != nil {
					t.Fatal(err)
				}
				if err := tx.Exec("CREATE TABLE other (id int)").Error; err != nil {
					t.Fatal(err)
				}
				if len(r.ops()) != 1 {
					t.Error("not released with the definition", r.ops())
				}
				if err := amount(tx, 2, 10); err != nil {
					t.Fatal(err)
				}
				tx.Rollback()
				wantOps(t, r, "update orders 1", "update orders 2")
			})
		})
	}
}

// The driver gives unsigned numbers in two forms, depending on whether the query has arguments.
func TestMySQL_unsigned_isNoChange(t *testing.T) {
	t.Parallel()
	type Big struct {
		ID uint64
		N  uint64
		F  float32
		S  string
	}
	forEachMySQL(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Big{})
		db.Create(&Big{ID: 1 << 63, N: 1<<64 - 1, F: 0.1, S: "a"})
		db.Model(&Big{}).Where("1 = 1").Update("s", "a")
		db.Model(&Big{ID: 1 << 63}).Update("s", "a")
		db.Model(&Big{ID: 1 << 63}).Update("s", "b")
		wantOps(t, r, "insert bigs 9223372036854775808", "update bigs 9223372036854775808")
		if len(r.failed)+len(r.skipped) > 0 {
			t.Error(r.failed, r.skipped)
		}
	})
}

func TestMySQL_limit_isFollowed(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		db.Create(&[]Order{{ID: 1}, {ID: 2}, {ID: 3}})
		r.reset()
		for _, tx := range []*gorm.DB{
			db.Model(&Order{}).Where("id > ?", 0).Order("id DESC").Limit(2).Update("amount", 5),
			db.Where("id > ?", 0).Order("id").Limit(1).Delete(&Order{}),
		} {
			if tx.Error != nil {
				t.Error(tx.Error)
			}
		}
		wantOps(t, r, "update orders 3", "update orders 2", "delete orders 1")
	})
}

// The ids that a caller gets must be right although the statement ran as a query.
func TestMySQL_lastInsertID_isTheFirstOne(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		m := []map[string]any{{"title": "a"}, {"title": "b"}}
		plain := db.Session(&gorm.Session{})
		if err := plain.Table("orders").Create(&m).Error; err != nil {
			t.Fatal(err)
		}
		o := []Order{{Title: "c"}, {Title: "d"}}
		if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&o).Error; err != nil {
			t.Fatal(err)
		}
		var ids []uint
		db.Model(&Order{}).Order("id").Pluck("id", &ids)
		if len(ids) != 4 || o[0].ID != ids[2] || o[1].ID != ids[3] {
			t.Error(ids, m, o)
		}
		if got := oracle.Word(m[0]["@id"]); got != oracle.Word(ids[0]) {
			t.Error(m, ids)
		}
		if len(r.ops()) != 4 {
			t.Error(r.ops(), r.skipped)
		}
	})
}

// waitRunning waits until a statement with the text runs in the database of db.
func waitRunning(t *testing.T, db *gorm.DB, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var n int64
		if err := db.Raw("SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> connection_id() AND info LIKE ?", "%"+text+"%").Scan(&n).Error; err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("no such statement runs")
}

// Another transaction adds a row between our look and our INSERT of several: that row was changed, not
// added, whatever makes its key and whether GORM asks for the rows.
func TestMySQL_upsertRace_isNoAddedRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		other  string
		upsert func(db *gorm.DB) error
		want   []string
	}{
		{"keys given, returning", "INSERT INTO things (id, code) VALUES (5, 'a')", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]Thing{{ID: 4, Code: "new"}, {ID: 5, Code: "b"}, {ID: 6, Code: "newer"}}).Error
		}, []string{"insert things 4", "update things 5 (no before image)", "insert things 6"}},
		{"keys made, returning", "INSERT INTO things (id, code) VALUES (5, 'a')", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]Thing{{Code: "new"}, {Code: "a"}}).Error
		}, []string{"insert things", "update things 5 (no before image)"}},
		{"composite, returning", "INSERT INTO ranks (a, b, v) VALUES (1, 'it''s', 1)", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoUpdates: clause.AssignmentColumns([]string{"v"})}).Create(&[]Rank{{A: 1, B: "it's"}, {A: 2, B: "ü;,"}}).Error
		}, []string{"update ranks 1 it's (no before image)", "insert ranks 2 ü;,"}},
		{"do nothing, returning", "INSERT INTO ranks (a, b, v) VALUES (1, 'x', 1)", func(db *gorm.DB) error {
			return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Rank{{A: 1, B: "x"}, {A: 2, B: "y"}}).Error
		}, []string{"insert ranks 2 y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			db := setup(t, database{open: openMariaDB}, &gorm.Config{}, r, &Thing{}, &Rank{})
			sqlDB, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			other, err := sqlDB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.ExecContext(t.Context(), c.other); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() { done <- c.upsert(db) }()
			waitRunning(t, db, "@audit_hits:=") // so the look is over, and the row of the other is in the way
			if err := other.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			ops := r.ops()
			for i := range ops {
				if !strings.HasPrefix(ops[i], c.want[min(i, len(c.want)-1)]) {
					t.Errorf("got %v, want %v; %v", ops, c.want, r.failed)
				}
			}
			if len(ops) != len(c.want) {
				t.Error(ops, r.summaries, r.skipped, r.failed)
			}
		})
	}
}

// Rank has a composite key and a default of the database, which GORM asks back.
type Rank struct {
	A int    `gorm:"primaryKey;autoIncrement:false"`
	B string `gorm:"primaryKey;size:100"`
	V int    `gorm:"default:(7)"`
}
