package capture_test

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// ownerCalls write through associations of each kind.
var ownerCalls = []call{
	{name: "has one append", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.err(db.Model(&c).Association("Profile").Append(&Profile{Bio: "new"}), c)
		c = Customer{ID: 1}
		o.err(db.Model(&c).Association("Profile").Append(&Profile{Bio: "instead"}), c)
	}},
	{name: "has one replace", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Profile").Replace(&Profile{Bio: "new"}), c)
		o.err(db.Model(&c).Association("Profile").Replace(&Profile{ID: 1, Bio: "first"}), c)
		o.err(db.Model(&c).Association("Profile").Unscoped().Replace(&Profile{Bio: "last"}), c)
	}},
	{name: "has one delete", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Profile").Delete(&Profile{ID: 1}), c)
		o.err(db.Model(&c).Association("Profile").Append(&Profile{ID: 1, Bio: "first"}))
		o.err(db.Model(&c).Association("Profile").Unscoped().Delete(&Profile{ID: 1}))
	}},
	{name: "has one clear", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Profile").Clear(), c)
		o.err(db.Model(&c).Association("Profile").Append(&Profile{ID: 1}))
		o.err(db.Model(&c).Association("Profile").Unscoped().Clear())
	}},
	{name: "has many replace", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Orders").Replace([]Order{{ID: 1, Title: "pen"}, {Title: "n"}, {ID: 3}}), c)
		o.err(db.Model(&c).Association("Orders").Unscoped().Replace(&Order{Title: "rest"}), c)
		o.err(db.Model(&c).Association("Orders").Replace())
	}},
	{name: "has many clear", run: func(db *gorm.DB, o *observed) {
		o.err(db.Model(&Customer{ID: 1}).Association("Orders").Clear())
		o.err(db.Model(&Customer{ID: 2}).Association("Orders").Unscoped().Clear())
		o.err(db.Model(&Customer{ID: 3}).Association("Orders").Clear())
	}},
	{name: "has many of several owners", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{ID: 1}, {ID: 2}}
		o.err(db.Model(&c).Association("Orders").Append(&Order{Title: "of 1"}, &Order{Title: "of 2"}), c)
		o.err(db.Model(&c).Association("Orders").Replace(&Order{Title: "only of 1"}, &Order{Title: "only of 2"}))
		o.err(db.Model(&c).Association("Orders").Clear())
	}},
	{name: "has many delete not its own", run: func(db *gorm.DB, o *observed) {
		o.err(db.Model(&Customer{ID: 1}).Association("Orders").Delete(&Order{ID: 3}, &Order{ID: 99}, &Order{ID: 1}))
	}},
	{name: "belongs to clear and delete", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Company").Delete(&Company{ID: 2}))
		o.err(db.Model(&c).Association("Company").Delete(&Company{ID: 1}), c)
		o.err(db.Model(&c).Association("Company").Append(&Company{ID: 2}), c)
		o.err(db.Model(&c).Association("Company").Clear(), c)
		o.err(db.Model(&c).Association("Company").Replace(&Company{Name: "new"}))
		o.err(db.Model(&c).Association("Company").Unscoped().Clear())
	}},
	{name: "belongs to itself", run: func(db *gorm.DB, o *observed) {
		m := Member{Name: "m", Boss: &Member{Name: "boss"}}
		o.see(db.Create(&m), m)
		o.err(db.Model(&m).Association("Boss").Replace(&Member{ID: 1, Name: "m1"}), m)
		o.err(db.Model(&m).Association("Boss").Clear())
	}},
	{name: "many to many append", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Tags").Append([]Tag{{ID: 1, Name: "red"}, {ID: 2, Name: "blue"}, {Name: "new"}}), c)
		o.err(db.Model(&c).Association("Tags").Append(&Tag{ID: 1, Name: "red"}), c)
		o.err(db.Model(&[]Customer{{ID: 2}, {ID: 3}}).Association("Tags").Append(&Tag{ID: 1, Name: "red"}, &Tag{ID: 2, Name: "blue"}))
	}},
	{name: "many to many replace", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Tags").Replace([]Tag{{ID: 2, Name: "blue"}, {Name: "new"}}), c)
		o.err(db.Model(&c).Association("Tags").Unscoped().Replace(&Tag{ID: 1, Name: "red"}), c)
	}},
	{name: "many to many delete and clear", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Tags").Append(&Tag{ID: 2, Name: "blue"}))
		o.err(db.Model(&c).Association("Tags").Delete(&Tag{ID: 1}, &Tag{ID: 99}), c)
		o.err(db.Model(&c).Association("Tags").Clear(), c)
		o.err(db.Model(&c).Association("Tags").Append(&Tag{ID: 2, Name: "blue"}))
		o.err(db.Model(&c).Association("Tags").Unscoped().Clear())
	}},
	{name: "many to many without key", run: func(db *gorm.DB, o *observed) {
		l := Label{ID: 1}
		o.err(db.Model(&l).Association("Members").Append(&Member{Name: "new"}, &Member{ID: 2, Name: "m2"}), l)
		o.err(db.Model(&l).Association("Members").Delete(&Member{ID: 1}))
		o.err(db.Model(&l).Association("Members").Replace(&Member{ID: 1, Name: "m1"}))
		o.see(db.Select("Members").Delete(&l))
	}},
	{name: "polymorphic append and delete", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.err(db.Model(&c).Association("Toys").Append(&Toy{Name: "n"}, &Toy{ID: 1, Name: "car"}), c)
		o.err(db.Model(&c).Association("Toys").Delete(&Toy{ID: 1}))
		o.err(db.Model(&c).Association("Toys").Unscoped().Clear())
	}},
	{name: "association with where", run: func(db *gorm.DB, o *observed) {
		o.err(db.Model(&Customer{ID: 1}).Where("amount > ?", 6).Association("Orders").Clear())
		o.err(db.Model(&Customer{}).Where("id = ?", 1).Association("Orders").Append(&Order{Title: "x"}))
	}},
	{name: "association in transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(tx.Model(&Customer{ID: 1}).Association("Tags").Clear())
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				o.err(tx.Model(&Customer{ID: 1}).Association("Orders").Clear())
				return errNo
			}))
			return tx.Model(&Customer{ID: 1}).Association("Tags").Append(&Tag{ID: 2, Name: "blue"})
		}))
	}},
	{name: "association fails", run: func(db *gorm.DB, o *observed) {
		o.err(db.Model(&Customer{ID: 999}).Association("Orders").Append(&Order{Title: "x"}))
		o.err(db.Model(&Customer{ID: 2}).Association("Tags").Append(&Tag{Name: "red"}))
	}},
	{name: "select associations create", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "n", Orders: []Order{{Title: "a"}}, Tags: []Tag{{Name: "t"}}, Company: &Company{Name: "c"}}
		o.see(db.Select(clause.Associations).Create(&c), c)
	}},
	{name: "save with associations", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Preload(clause.Associations).First(&c, 1))
		c.Name, c.Orders[0].Title, c.Profile.Bio, c.Company.Name = "ann2", "pencil", "bio2", "Acme2"
		c.Orders = append(c.Orders, Order{Title: "more"})
		c.Tags = append(c.Tags, Tag{Name: "saved"})
		o.see(db.Save(&c), c)
		o.see(db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&c), c)
		o.see(db.Omit(clause.Associations).Save(&c), c)
	}},
	{name: "updates with associations", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.see(db.Model(&c).Updates(Customer{Name: "b", Orders: []Order{{Title: "n"}}, Company: &Company{Name: "c"}}), c)
		o.see(db.Model(&Customer{ID: 3}).Select("Name", "Orders").Updates(Customer{Name: "c", Score: 1, Orders: []Order{{Title: "m"}}}))
	}},
	{name: "delete select by name", run: func(db *gorm.DB, o *observed) {
		o.see(db.Select("Orders").Delete(&Customer{ID: 2}))
		o.see(db.Select("Profile", "Tags").Delete(&[]Customer{{ID: 1}, {ID: 3}}))
	}},
	{name: "delete select without key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Select("Orders").Where("name = ?", "bob").Delete(&Customer{}))
	}},
	{name: "delete select nothing of it", run: func(db *gorm.DB, o *observed) {
		o.see(db.Select(clause.Associations).Delete(&Customer{ID: 999}))
		o.see(db.Select(clause.Associations).Delete(&Tag{ID: 2}))
	}},
	{name: "delete select in transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Unscoped().Select(clause.Associations).Delete(&Customer{ID: 1}))
			o.see(tx.Unscoped().Select("Orders").Delete(&Customer{ID: 2}))
			return nil
		}))
	}},
}

// tableCalls name tables in other ways than by a model, or use other handles.
var tableCalls = []call{
	{name: "join table by name", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customer_tags").Create(map[string]any{"customer_id": 2, "tag_id": 1}))
		o.see(db.Table("customer_tags").Where("customer_id = ?", 2).Updates(map[string]any{"tag_id": 2}))
		o.see(db.Table("customer_tags").Where("customer_id = ?", 1).Delete(nil))
	}},
	{name: "join table by struct", run: func(db *gorm.DB, o *observed) {
		o.see(db.Create(&[]CustomerTag{{2, 1}, {2, 2}}))
		o.see(db.Model(&CustomerTag{CustomerID: 2, TagID: 1}).Update("customer_id", 3))
		o.see(db.Delete(&CustomerTag{CustomerID: 2, TagID: 2}))
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&CustomerTag{1, 1}))
	}},
	{name: "foreign struct create", run: func(db *gorm.DB, o *observed) {
		p := CustomerPart{Name: "part", Age: 4}
		o.see(db.Table("customers").Create(&p), p)
		o.see(db.Table("customers").Create(&[]CustomerPart{{Name: "p1"}, {Name: "p2"}}))
	}},
	{name: "schema prefix", run: func(db *gorm.DB, o *observed) {
		docs := schemaOf(db) + ".docs"
		o.see(db.Table(docs).Create(&Doc{ID: "s1", Order: 1}))
		o.see(db.Table(docs).Create(map[string]any{"id": "s2"}))
		o.see(db.Table(docs).Where("id = ?", "s1").Update("order", 2))
		o.see(db.Table(docs).Model(&Doc{ID: "s1"}).Updates(Doc{Table: "x"}))
		o.see(db.Table(docs).Save(&Doc{ID: "s1", Order: 3}))
		o.see(db.Table(docs).Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]Doc{{ID: "s1", Order: 4}, {ID: "s3"}}))
		o.see(db.Table(docs).Delete(&Doc{ID: "s2"}))
		o.see(db.Table(docs).Where("id > ?", "s").Delete(nil))
	}},
	{name: "schema prefix soft delete", run: func(db *gorm.DB, o *observed) {
		table := schemaOf(db) + ".zeros"
		o.see(db.Table(table).Delete(&Zero{ID: 1}))
		o.see(db.Table(table).Unscoped().Delete(&Zero{ID: 2}))
	}},
	{name: "table quoted", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("?", clause.Table{Name: "docs"}).Where("id = ?", "d1").Update("order", 9))
		o.see(db.Model(&Toy{}).Table("?", clause.Table{Name: "docs"}).Where("docs.id = ?", "d1").Update("order", 10))
		o.see(db.Table("? AS d", clause.Table{Name: "docs"}).Where("d.id = ?", "d2").Update("order", 11))
		o.see(db.Table("?", clause.Table{Name: "docs"}).Create(map[string]any{"id": "q", "order": 3}))
		o.see(db.Table("?", clause.Table{Name: "docs"}).Where("id = ?", "q").Delete(nil))
	}},
	{name: "session new db in transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Where("1 = 0").Session(&gorm.Session{NewDB: true}).Model(&Order{ID: 1}).Update("amount", 4))
			o.see(tx.WithContext(db.Statement.Context).Model(&Order{ID: 2}).Update("amount", 4))
			return nil
		}))
	}},
	{name: "two transactions side by side", only: "postgres", run: func(db *gorm.DB, o *observed) {
		a, b := db.Begin(), db.Begin()
		o.err(amount(a, 1, 50))
		o.err(amount(b, 2, 51))
		o.err(amount(a, 3, 52))
		o.see(b.Rollback())
		o.see(a.Commit())
	}},
	{name: "write of another table in between", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			rows := []Order{}
			o.see(tx.Order("id").Find(&rows))
			for i := range rows {
				rows[i].Amount *= 2
				o.see(tx.Save(&rows[i]))
				o.see(tx.Create(&Line{Place: rows[i].Amount, Text: "log"}))
			}
			return nil
		}))
	}},
}

// schemaOf gives the schema of the handle's tables.
func schemaOf(db *gorm.DB) (name string) {
	switch db.Dialector.Name() {
	case "postgres":
		db.Raw("SELECT current_schema()").Scan(&name)
	case "mysql":
		db.Raw("SELECT DATABASE()").Scan(&name)
	default:
		name = "main"
	}
	return name
}
