package capture_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
)

// hostileCalls are calls inside others, on keys of which a part is zero.
var hostileCalls = []call{
	{name: "find in batches with writes", run: func(db *gorm.DB, o *observed) {
		var some []Order
		o.see(db.Order("id").FindInBatches(&some, 2, func(tx *gorm.DB, batch int) error {
			for i := range some {
				some[i].Amount += batch
			}
			o.see(tx.Save(&some))
			s := db.Session(&gorm.Session{NewDB: true})
			o.see(s.Create(&Line{Place: batch, Text: "batch"}))
			return s.Where("id = ?", 2).Delete(&Order{}).Error
		}))
	}},
	{name: "batches in savepoints", run: func(db *gorm.DB, o *observed) {
		docs := func(prefix string) *[]Doc {
			return &[]Doc{{ID: prefix + "1"}, {ID: prefix + "2"}, {ID: prefix + "3"}}
		}
		o.see(db, db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.CreateInBatches(docs("a"), 2))
			o.see(tx, tx.Transaction(func(tx *gorm.DB) error {
				o.see(tx.CreateInBatches(docs("b"), 2))
				return errNo
			}))
			o.see(tx, tx.Transaction(func(tx *gorm.DB) error {
				o.see(tx.Debug().CreateInBatches(docs("c"), 2))
				return tx.Where("id = ?", "a1").Delete(&Doc{}).Error
			}))
			return nil
		}))
	}},
	{name: "half a composite key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Pair{A: 1}).Update("v", 90))
		o.see(db.Delete(&Pair{B: "y"}))
		o.see(db.Save(&Pair{B: "half", V: 1}))
		o.see(db.Create(&Pair{B: "zero", V: 1}))
		o.see(db.Model(&[]Pair{{A: 1, B: "x"}, {A: 2}}).Update("v", 91))
		o.see(db.Delete(&[]Pair{{A: 2, B: "x"}, {B: "zero"}}))
	}},
}

// A text that writes is counted whichever way it is sent, also if it begins as a query.
func TestRawText_isCountedInAllWays(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		db.Create(&[]Order{{ID: 1}, {ID: 2}})
		text := "DELETE FROM orders WHERE id = 77 RETURNING id"
		switch {
		case d.dialect == "postgres":
			text = "WITH u AS (UPDATE orders SET amount = amount + 1 WHERE id = 1 RETURNING id) SELECT id FROM u"
		case d.name == "mysql":
			t.Log("MySQL has no text that writes and gives rows")
			return
		}
		var ids []uint
		var o Order
		rows := func(tx *gorm.DB) error {
			rows, err := tx.Rows()
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return errors.Join(rows.Err(), rows.Close())
		}
		for name, send := range map[string]func(db *gorm.DB) error{
			"exec":          func(db *gorm.DB) error { return db.Exec(text).Error },
			"scan":          func(db *gorm.DB) error { return db.Raw(text).Scan(&ids).Error },
			"find":          func(db *gorm.DB) error { return db.Raw(text).Find(&[]Order{}).Error },
			"rows":          func(db *gorm.DB) error { return rows(db.Raw(text)) },
			"row":           func(db *gorm.DB) error { var id uint; _ = db.Raw(text).Row().Scan(&id); return nil },
			"pluck":         func(db *gorm.DB) error { return db.Raw(text).Pluck("id", &ids).Error },
			"generics":      func(db *gorm.DB) error { _, err := gorm.G[Order](db).Raw(text).Find(db.Statement.Context); return err },
			"generics exec": func(db *gorm.DB) error { return gorm.G[Order](db).Exec(db.Statement.Context, text) },
			"model":         func(db *gorm.DB) error { return db.Model(&o).Raw(text).Scan(&ids).Error },
		} {
			for _, prepared := range []bool{false, true} {
				r.reset()
				if err := send(db.Session(&gorm.Session{Context: t.Context(), PrepareStmt: prepared})); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if diff := cmp.Diff([]string{capture.ReasonRaw}, r.skipped); diff != "" || len(r.ops()) > 0 {
					t.Errorf("%s, prepared %v: %s%v", name, prepared, diff, r.ops())
				}
			}
		}
	})
}

// A condition that finds other rows each time: a SELECT in front says nothing of the statement, so one
// summary stands for what it did, with the number of rows that it changed.
func TestMySQL_conditionByChance_isSummed(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{}, &Line{})
		var orders []Order
		for i := range 60 {
			orders = append(orders, Order{ID: uint(i + 1), Title: "a"})
		}
		if err := db.Create(&orders).Error; err != nil {
			t.Fatal(err)
		}
		for name, send := range map[string]func(db *gorm.DB) *gorm.DB{
			"where": func(db *gorm.DB) *gorm.DB {
				return db.Model(&Order{}).Where("rand() < 0.5").UpdateColumn("amount", gorm.Expr("amount + 1"))
			},
			"order by": func(db *gorm.DB) *gorm.DB {
				return db.Model(&Order{}).Where("1 = 1").Order("RAND()").Limit(3).UpdateColumn("amount", gorm.Expr("amount + 1"))
			},
		} {
			r.reset()
			tx := send(db)
			if tx.Error != nil {
				t.Fatalf("%s: %v", name, tx.Error)
			}
			if len(r.ops()) != 0 || len(r.skipped) != 0 || len(r.summaries) != 1 || r.summaries[0].Rows != tx.RowsAffected || r.summaries[0].Op != capture.Update {
				t.Errorf("%s, %d rows: %v %v %+v", name, tx.RowsAffected, r.ops(), r.skipped, r.summaries)
			}
		}
		r.reset()
		tx := db.Where("RAND() < 0.5").Delete(&Order{})
		rows := int64(len(r.ops()))
		for _, s := range r.summaries {
			rows += s.Rows
		}
		var left int64
		db.Model(&Order{}).Count(&left)
		if tx.Error != nil || rows != 60-left || rows != tx.RowsAffected {
			t.Errorf("%d deleted, %d left, %d told: %v", tx.RowsAffected, left, rows, tx.Error)
		}
		// A word is no function, and a text no word.
		r.reset()
		if err := db.Model(&Order{}).Where("title NOT IN (?) AND title <> 'rand()' AND (SELECT uuid FROM (SELECT 1 AS uuid) AS u) IN (1)", []string{"uuid()"}).Limit(1).Order("id").Update("title", "b").Error; err != nil || len(r.ops()) != 1 {
			t.Error(err, r.ops())
		}
	})
}

// By chance on the other databases: PostgreSQL asks once, SQLite tells what it had not seen before.
func TestConditionByChance_losesNothing(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		if d.dialect == "mysql" {
			return
		}
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Order{})
		var orders []Order
		for i := range 60 {
			orders = append(orders, Order{ID: uint(i + 1), Title: "a"})
		}
		if err := db.Create(&orders).Error; err != nil {
			t.Fatal(err)
		}
		r.reset()
		half := "random() < 0.5"
		if d.dialect == "sqlite" {
			half = "random() < 0"
		}
		for _, send := range []func() *gorm.DB{
			func() *gorm.DB { return db.Model(&Order{}).Where(half).UpdateColumn("amount", gorm.Expr("amount + 1")) },
			func() *gorm.DB { return db.Clauses(clause.Returning{}).Where(half).Delete(&[]Order{}) },
		} {
			tx := send()
			if tx.Error != nil {
				t.Fatal(tx.Error)
			}
			if int64(len(r.ops())) != tx.RowsAffected {
				t.Errorf("%d rows, %v", tx.RowsAffected, r.ops())
			}
			for _, o := range r.ops() {
				if d.dialect == "postgres" && strings.Contains(o, "(") {
					t.Error(o)
				}
			}
			r.reset()
		}
		if len(r.skipped)+len(r.failed)+len(r.summaries) > 0 {
			t.Error(fmt.Sprint(r.skipped, r.failed, r.summaries))
		}
	})
}
