package capture_test

import (
	"context"
	"database/sql"
	"errors"

	"gorm.io/gorm"
)

// amount changes an order, so that a change is easy to tell.
func amount(tx *gorm.DB, id uint, n int) error {
	return tx.Model(&Order{ID: id}).Update("amount", n).Error
}

// txCalls are the ways in which a transaction may go.
var txCalls = []call{
	{name: "tx commit fails at deferred constraint", only: "postgres", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			return tx.Model(&Profile{ID: 1}).Update("customer_id", 999).Error
		}))
		o.see(db.Model(&Profile{ID: 1}).Update("customer_id", 999))
	}},
	{name: "tx aborted", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.see(tx.Session(&gorm.Session{}).Create(&Doc{ID: "d1"}))
		o.err(amount(tx, 2, 51))
		o.err(tx.Commit().Error)
	}},
	{name: "tx aborted in savepoint", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				o.err(amount(tx, 2, 51))
				return tx.Create(&Doc{ID: "d1"}).Error
			}))
			return amount(tx, 3, 52)
		}))
	}},
	{name: "tx context cancelled", run: func(db *gorm.DB, o *observed) {
		ctx, cancel := context.WithCancel(context.Background())
		tx := db.WithContext(ctx).Begin()
		o.err(amount(tx, 1, 50))
		cancel()
		o.err(nil, tx.Commit().Error != nil) // which error depends on who rolls back first
	}},
	{name: "tx inner context cancelled", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			ctx, cancel := context.WithCancel(context.Background())
			err := tx.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				o.err(amount(tx, 1, 50))
				cancel()
				return errNo
			})
			o.err(err)
			return amount(tx, 2, 51)
		}))
	}},
	{name: "tx inner panic", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			func() {
				defer func() { _ = recover() }()
				_ = tx.Transaction(func(tx *gorm.DB) error {
					o.err(amount(tx, 2, 51))
					panic("inner")
				})
			}()
			return amount(tx, 3, 52)
		}))
	}},
	{name: "tx nested disabled", run: func(db *gorm.DB, o *observed) {
		o.err(db.Session(&gorm.Session{DisableNestedTransaction: true}).Transaction(func(tx *gorm.DB) error {
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				o.err(amount(tx, 1, 50))
				return errNo
			}))
			return nil
		}))
	}},
	{name: "tx three levels", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			return tx.Transaction(func(tx *gorm.DB) error {
				o.err(amount(tx, 2, 51))
				o.err(tx.Transaction(func(tx *gorm.DB) error {
					o.err(amount(tx, 3, 52))
					return nil
				}))
				o.err(tx.Transaction(func(tx *gorm.DB) error {
					o.err(amount(tx, 1, 53))
					return errNo
				}))
				return nil
			})
		}))
	}},
	{name: "tx middle level rolls back", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				o.err(tx.Transaction(func(tx *gorm.DB) error { return amount(tx, 2, 51) }))
				return errNo
			}))
			return nil
		}))
	}},
	{name: "tx savepoint shadowed", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			tx.SavePoint("a")
			o.err(amount(tx, 1, 50))
			tx.SavePoint("a")
			o.err(amount(tx, 2, 51))
			tx.RollbackTo("a")
			o.err(amount(tx, 3, 52))
			tx.RollbackTo("a")
			return nil
		}))
	}},
	{name: "tx savepoint released", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Exec("SAVEPOINT a"))
			o.err(amount(tx, 1, 50))
			o.see(tx.Exec("SAVEPOINT a"))
			o.err(amount(tx, 2, 51))
			o.see(tx.Exec("RELEASE a"))
			o.err(amount(tx, 3, 52))
			o.see(tx.Exec("ROLLBACK TO a"))
			return nil
		}))
	}},
	{name: "tx savepoint text forms", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Exec(`/* c */ savepoint "My Point" ;`))
			o.err(amount(tx, 1, 50))
			o.see(tx.Exec(`rollback transaction to savepoint "My Point"`))
			o.err(amount(tx, 2, 51))
			o.see(tx.Exec(`ROLLBACK TO "My Point"`))
			return amount(tx, 3, 52)
		}))
	}},
	{name: "tx savepoint unknown", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			o.see(tx.Session(&gorm.Session{}).RollbackTo("nope"))
			o.err(amount(tx, 2, 51))
			return nil
		}))
	}},
	{name: "tx text rollback", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.see(tx.Exec("ROLLBACK"))
		o.err(amount(tx, 2, 51))
		_ = tx.Commit()
	}},
	{name: "tx text commit and more", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.see(tx.Exec("COMMIT"))
		o.err(amount(tx, 2, 51))
		o.see(tx.Exec("BEGIN"))
		o.err(amount(tx, 3, 52))
		o.see(tx.Rollback())
	}},
	{name: "tx text commit and chain", run: func(db *gorm.DB, o *observed) {
		if db.Name() == "sqlite" {
			return // it does not know it
		}
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.see(tx.Exec("COMMIT AND CHAIN"))
		o.err(amount(tx, 2, 51))
		o.see(tx.Exec("ROLLBACK AND CHAIN"))
		o.err(amount(tx, 3, 52))
		o.err(tx.Rollback().Error)
	}},
	{name: "tx options", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error { return amount(tx, 1, 50) }, &sql.TxOptions{Isolation: sql.LevelSerializable}))
	}, only: "postgres"},
	{name: "tx read only", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error { return amount(tx, 1, 50) }, &sql.TxOptions{ReadOnly: true}))
	}, only: "postgres"},
	{name: "tx twice ended", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		o.err(amount(tx, 1, 50))
		o.err(tx.Commit().Error)
		o.err(tx.Session(&gorm.Session{NewDB: true}).Commit().Error)
		o.err(amount(tx.Session(&gorm.Session{NewDB: true}), 2, 51))
	}},
	{name: "tx same row often", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			return errors.Join(amount(tx, 1, 50), amount(tx, 1, 51), tx.Delete(&Order{ID: 1}).Error,
				tx.Create(&Order{ID: 1, Title: "again"}).Error, amount(tx, 1, 5))
		}))
	}},
	{name: "tx hooks write", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Delete(&Hooked{ID: 1}))
			return errNo
		}))
		o.see(db.Delete(&Hooked{ID: 1}))
	}},
	{name: "tx prepared session", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			s := tx.Session(&gorm.Session{PrepareStmt: true})
			o.err(amount(s, 1, 50))
			o.see(s.Exec("SAVEPOINT p"))
			o.err(amount(s, 2, 51))
			o.see(s.Exec("ROLLBACK TO p"))
			return nil
		}))
	}},
	{name: "tx text on connection", run: func(db *gorm.DB, o *observed) {
		o.err(db.Session(&gorm.Session{SkipDefaultTransaction: true}).Connection(func(tx *gorm.DB) error {
			o.see(tx.Exec("BEGIN"))
			o.err(amount(tx, 1, 50))
			o.see(tx.Exec("ROLLBACK"))
			o.see(tx.Exec("BEGIN"))
			o.err(amount(tx, 2, 51))
			o.see(tx.Exec("SAVEPOINT s"))
			o.err(amount(tx, 3, 52))
			o.see(tx.Exec("ROLLBACK TO s"))
			o.see(tx.Exec("COMMIT"))
			return amount(tx, 1, 53)
		}))
	}},
	{name: "tx control text as query", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			queryText(tx, o, "SAVEPOINT p")
			o.err(amount(tx, 1, 50))
			queryText(tx, o, "ROLLBACK TO p")
			o.err(amount(tx, 2, 51))
			o.see(tx.Exec("SAVEPOINT q"))
			o.err(amount(tx, 3, 52))
			var none []map[string]any
			o.see(tx.Raw("ROLLBACK TO q").Scan(&none))
			o.err(amount(tx, 3, 53))
			o.err(tx.Raw("RELEASE SAVEPOINT q").Row().Scan())
			return nil
		}))
	}},
	{name: "tx control text as query on connection", run: func(db *gorm.DB, o *observed) {
		o.err(db.Session(&gorm.Session{SkipDefaultTransaction: true}).Connection(func(tx *gorm.DB) error {
			queryText(tx, o, "BEGIN")
			o.err(amount(tx, 1, 50))
			queryText(tx, o, "ROLLBACK")
			o.err(tx.Raw("BEGIN").Row().Scan())
			o.err(amount(tx, 2, 51))
			queryText(tx, o, "COMMIT")
			return amount(tx, 3, 52)
		}))
	}},
	{name: "tx in connection", run: func(db *gorm.DB, o *observed) {
		o.err(db.Connection(func(tx *gorm.DB) error {
			o.err(amount(tx, 1, 50))
			return amount(tx, 2, 51)
		}))
	}},
	{name: "tx batches in transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			d := []Doc{{ID: "n1"}, {ID: "n2"}, {ID: "n3"}, {ID: "n4"}, {ID: "n5"}}
			return tx.CreateInBatches(&d, 2).Error
		}))
	}},
}

// queryText sends text as a query that gives no rows.
func queryText(tx *gorm.DB, o *observed, text string) {
	rows, err := tx.Raw(text).Rows()
	o.err(err)
	if err == nil {
		o.err(nil, rows.Next()) // SQLite runs it now
		o.err(errors.Join(rows.Err(), rows.Close()))
	}
}
