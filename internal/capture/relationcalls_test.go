package capture_test

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// relationCalls write several tables, or in transactions and sessions.
var relationCalls = []call{
	{name: "nested create", run: func(db *gorm.DB, o *observed) {
		c := Customer{
			Name: "deep", Company: &Company{Name: "new"}, Profile: &Profile{Bio: "b"},
			Orders: []Order{{Title: "a"}, {Title: "b"}}, Tags: []Tag{{Name: "t1"}, {ID: 1, Name: "red"}}, Toys: []Toy{{Name: "doll"}},
		}
		o.see(db.Create(&c), c)
	}},
	{name: "nested create existing child", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "deep", Orders: []Order{{ID: 3, Title: "ignored"}, {Title: "b"}}}
		o.see(db.Create(&c), c)
	}},
	{name: "full save associations", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1, Name: "full", Orders: []Order{{ID: 1, Title: "pen2"}, {Title: "new"}}, Profile: &Profile{ID: 1, Bio: "second"}}
		o.see(db.Session(&gorm.Session{FullSaveAssociations: true}).Updates(&c), c)
	}},
	{name: "nested create fails", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "deep", Company: &Company{Name: "new"}, Email: ptr("ann@example.com")}
		o.see(db.Create(&c))
	}},
	{name: "association append", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.err(db.Model(&c).Association("Orders").Append(&Order{Title: "x"}, &Order{ID: 1}), c)
	}},
	{name: "association replace has many", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Orders").Replace(&Order{Title: "only"}), c)
	}},
	{name: "association delete has many", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Orders").Delete(&Order{ID: 1}))
		o.err(db.Model(&c).Association("Orders").Unscoped().Delete(&Order{ID: 2}))
	}},
	{name: "association clear", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Orders").Clear())
		o.err(db.Model(&c).Association("Tags").Clear())
		o.err(db.Model(&c).Association("Profile").Clear())
		o.err(db.Model(&c).Association("Company").Clear())
	}},
	{name: "association many to many", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Tags").Append(&Tag{ID: 2, Name: "blue"}, &Tag{Name: "new"}))
		o.err(db.Model(&c).Association("Tags").Delete(&Tag{ID: 1}))
		o.err(db.Model(&c).Association("Tags").Replace(&Tag{ID: 1, Name: "red"}))
	}},
	{name: "association belongs to", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.err(db.Model(&c).Association("Company").Append(&Company{Name: "c"}), c)
		o.err(db.Model(&c).Association("Company").Replace(&Company{ID: 2}), c)
	}},
	{name: "association polymorphic", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Toys").Replace(&Toy{Name: "bear"}), c)
	}},
	{name: "delete select associations", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Select(clause.Associations).Delete(&c))
	}},
	{name: "delete unscoped select associations", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Unscoped().Select("Orders", "Profile", "Tags", "Toys").Delete(&c))
	}},
	{name: "delete select nested", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Where("customer_id = ?", 2).Delete(&Order{}))
			o.see(tx.Model(&Customer{ID: 2}).Update("company_id", 2))
			o.see(tx.Unscoped().Select("Customers", "Customers.Orders", "Customers.Tags").Delete(&Company{ID: 2}))
			return nil
		}))
	}},

	{name: "transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Create(&Order{Title: "t"}))
			o.see(tx.Model(&Order{ID: 1}).Update("amount", 6))
			return tx.Delete(&Order{ID: 2}).Error
		}))
	}},
	{name: "transaction rolled back", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Create(&Order{Title: "t"}))
			return errNo
		}))
	}},
	{name: "transaction nested", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			tx.Create(&Order{Title: "outer"})
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				tx.Create(&Order{Title: "inner lost"})
				return errNo
			}))
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				return tx.Create(&Order{Title: "inner kept"}).Error
			}))
			return nil
		}))
	}},
	{name: "transaction panic", run: func(db *gorm.DB, _ *observed) {
		_ = db.Transaction(func(tx *gorm.DB) error {
			tx.Create(&Order{Title: "lost"})
			panic("p")
		})
	}},
	{name: "transaction manual", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		tx.Create(&Order{Title: "kept"})
		o.see(tx.SavePoint("s"))
		tx.Create(&Order{Title: "lost"})
		o.see(tx.RollbackTo("s"))
		tx.Model(&Order{ID: 3}).Update("amount", 1)
		o.see(tx.Commit())
		o.see(tx.Rollback())
		tx = db.Begin()
		tx.Create(&Order{Title: "lost"})
		o.see(tx.Rollback())
		o.see(tx.Commit())
	}},
	{name: "transaction savepoint text", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Exec("SAVEPOINT s"))
			o.see(tx.Model(&Order{ID: 1}).Update("amount", 6))
			o.see(tx.Exec("ROLLBACK TO SAVEPOINT s"))
			o.see(tx.Model(&Order{ID: 2}).Update("amount", 8))
			o.see(tx.Exec("RELEASE SAVEPOINT s"))
			return nil
		}))
	}},
	{name: "transaction commit text", run: func(db *gorm.DB, o *observed) {
		tx := db.Begin()
		tx.Model(&Order{ID: 1}).Update("amount", 6)
		o.see(tx.Exec("COMMIT"))
		tx.Rollback()
	}},
	{name: "connection", run: func(db *gorm.DB, o *observed) {
		o.err(db.Connection(func(tx *gorm.DB) error {
			return tx.Create(&Order{Title: "conn"}).Error
		}))
	}},
	{name: "session skip default transaction", run: func(db *gorm.DB, o *observed) {
		s := db.Session(&gorm.Session{SkipDefaultTransaction: true})
		c := Customer{Name: "s", Orders: []Order{{Title: "a"}}}
		o.see(s.Create(&c), c)
		o.see(s.Save(&c), c)
		o.see(s.Select("Orders").Delete(&c))
	}},
	{name: "session prepared", run: func(db *gorm.DB, o *observed) {
		s := db.Session(&gorm.Session{PrepareStmt: true})
		o.see(s.Create(&Order{Title: "p"}))
		o.see(s.Model(&Order{ID: 1}).Update("amount", 9))
	}},
	{name: "raw sql", run: func(db *gorm.DB, o *observed) {
		o.see(db.Exec("UPDATE orders SET amount = ? WHERE id = ?", 99, 1))
	}, uncaptured: true},
}
