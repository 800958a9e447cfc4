package capture_test

import (
	"fmt"
	"math/rand/v2"

	"gorm.io/gorm"
)

// broken violates the constraint of SQLite that is looked at by COMMIT, and mended does so no more.
func broken(tx *gorm.DB, o *observed) {
	o.see(tx.Exec("PRAGMA defer_foreign_keys = ON"))
	o.err(tx.Model(&Profile{ID: 1}).Update("customer_id", 999).Error)
}

func mended(tx *gorm.DB, o *observed) {
	o.err(tx.Model(&Profile{ID: 1}).Update("customer_id", 1).Error)
}

// xa begins a transaction of two phases on one connection, ends it by the texts behind the first one, and
// writes once more.
func xa(db *gorm.DB, o *observed, ends ...string) {
	id := fmt.Sprintf("'audit-%x', 'q'", rand.Uint64())
	o.err(db.Session(&gorm.Session{SkipDefaultTransaction: true}).Connection(func(tx *gorm.DB) error {
		o.see(tx.Exec("XA START " + id))
		o.err(amount(tx, 1, 50))
		for _, end := range ends {
			if end == "nope" {
				o.err(nil, tx.Session(&gorm.Session{}).Exec("XA END 'nope'").Error != nil)
				o.err(amount(tx, 2, 51))
				continue
			}
			o.see(tx.Session(&gorm.Session{}).Exec(fmt.Sprintf(end, id)))
		}
		return amount(tx, 3, 52)
	}))
}

// endCalls are ends of transactions as text that are refused, or that are not called so.
var endCalls = []call{
	{name: "tx text commit refused and mended", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		broken(tx, o)
		o.see(tx.Session(&gorm.Session{}).Exec("COMMIT"))
		o.err(amount(tx, 2, 51))
		o.see(tx.Session(&gorm.Session{}).Exec("COMMIT"))
		mended(tx, o)
		o.err(tx.Exec("COMMIT").Error) // the driver tells the rows of the statement before it
		o.err(amount(tx, 3, 52))
		_ = tx.Commit()
	}},
	{name: "tx text commit refused and committed", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		tx.SavePoint("s")
		broken(tx, o)
		o.see(tx.Session(&gorm.Session{}).Exec("END TRANSACTION"))
		tx.RollbackTo("s")
		o.err(amount(tx, 2, 51))
		o.err(tx.Commit().Error)
	}},
	{name: "tx text commit refused and rolled back", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		broken(tx, o)
		o.see(tx.Session(&gorm.Session{}).Exec("COMMIT"))
		o.err(amount(tx, 2, 51))
		o.err(tx.Rollback().Error)
	}},
	{name: "tx text commit refused with nothing written", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.see(tx.Exec("PRAGMA defer_foreign_keys = ON"))
		pool := tx.Statement.ConnPool
		execOn(pool, o, "UPDATE profiles SET customer_id = 999 WHERE id = 1")
		o.see(tx.Session(&gorm.Session{}).Exec("COMMIT"))
		o.err(amount(tx, 2, 51))
		o.err(tx.Rollback().Error)
	}},
	{name: "tx rolled back by its statement, then committed as text", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		pool := tx.Statement.ConnPool
		_, err := pool.ExecContext(db.Statement.Context, "INSERT OR ROLLBACK INTO orders (id, title) VALUES (1, 'twice')")
		o.err(err)
		o.see(tx.Session(&gorm.Session{}).Exec("COMMIT"))
		_ = tx.Rollback()
	}},
	{name: "tx text begin", only: "mysql", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.see(tx.Exec("BEGIN"))
		o.err(amount(tx, 2, 51))
		o.see(tx.Exec("START TRANSACTION"))
		o.err(amount(tx, 3, 52))
		o.err(tx.Rollback().Error)
	}},
	{name: "tx definition fails", only: "mysql", run: func(db *gorm.DB, o *observed) {
		for _, text := range []string{"CREATE TABLE orders (id int)", "CREATE TABL nothing", "CREATE TABLE IF NOT EXISTS orders (id int)"} {
			tx := db.Begin()
			o.err(amount(tx, 1, 50+len(text)))
			o.see(tx.Session(&gorm.Session{}).Exec(text))
			o.err(amount(tx, 2, 51+len(text)))
			o.err(tx.Rollback().Error)
		}
	}},
	{name: "autocommit on connection", only: "mysql", run: func(db *gorm.DB, o *observed) {
		o.err(db.Session(&gorm.Session{SkipDefaultTransaction: true}).Connection(func(tx *gorm.DB) error {
			o.see(tx.Exec("SET autocommit = 1"))
			o.err(amount(tx, 1, 50))
			o.see(tx.Exec("SET SESSION autocommit = OFF"))
			o.err(amount(tx, 1, 51))
			o.see(tx.Exec("ROLLBACK"))
			o.err(amount(tx, 1, 52))
			o.see(tx.Exec("COMMIT"))
			o.err(amount(tx, 2, 53))
			o.see(tx.Exec("BEGIN"))
			o.err(amount(tx, 2, 54))
			o.see(tx.Exec("ROLLBACK"))
			o.err(amount(tx, 3, 55))
			o.see(tx.Exec("SET @@autocommit := 1"))
			return amount(tx, 1, 56)
		}))
	}},
	{name: "xa one phase", only: "mysql", run: func(db *gorm.DB, o *observed) {
		xa(db, o, "XA END %s", "XA COMMIT %s ONE PHASE")
	}},
	{name: "xa end refused", only: "mysql", run: func(db *gorm.DB, o *observed) {
		xa(db, o, "nope", "XA END %s", "XA COMMIT %s ONE PHASE")
	}},
	{name: "xa rolled back", only: "mysql", run: func(db *gorm.DB, o *observed) {
		xa(db, o, "XA END %s", "XA ROLLBACK %s")
	}},
}
