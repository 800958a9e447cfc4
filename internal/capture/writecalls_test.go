package capture_test

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// uuid gives a key that ends in n.
func uuid(n byte) (u UUID) {
	u[15] = n
	return u
}

// writeCalls are further ways to write one table.
var writeCalls = []call{
	{name: "create array", run: func(db *gorm.DB, o *observed) {
		c := [2]Customer{{Name: "a"}, {Name: "b"}}
		o.see(db.Create(&c), c)
	}},
	{name: "create slice in sessions batches", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{Name: "a"}, {Name: "b", Orders: []Order{{Title: "x"}, {Title: "y"}, {Title: "z"}}}, {Name: "c"}}
		o.see(db.Session(&gorm.Session{CreateBatchSize: 2}).Create(&c), c)
	}},
	{name: "create maps in batches", run: func(db *gorm.DB, o *observed) {
		m := []map[string]any{{"title": "a", "amount": 1}, {"title": "b", "amount": 2}, {"title": "c", "amount": 3}}
		o.see(db.Model(&Order{}).CreateInBatches(&m, 2))
	}},
	{name: "create maps with expressions", run: func(db *gorm.DB, o *observed) {
		m := map[string]any{"title": gorm.Expr("upper(?)", "up"), "amount": gorm.Expr("1 + ?", 2)}
		o.see(db.Model(&Order{}).Create(m))
	}},
	{name: "create slice of maps by table", run: func(db *gorm.DB, o *observed) {
		m := []map[string]any{{"place": 7, "text": "x"}, {"place": 8, "text": nil}}
		o.see(db.Table("notes").Create(&m))
	}},
	{name: "create uuid key", run: func(db *gorm.DB, o *observed) {
		a := []Asset{
			{ID: uuid(9), Meta: `{"k": [1, {"x": null}]}`, Extra: []string{"a", "b"}, Blob: []string{"g"}, Seen: 1767323045, Level: ptr(Level(1)), Place: &Place{Room: "r", Shelf: ptr(1)}, Data: []byte{0, 255, 'x'}, At: time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 7200))},
			{ID: uuid(8), At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		}
		o.see(db.Create(&a), a)
	}},
	{name: "create key zero", run: func(db *gorm.DB, o *observed) {
		p := Pair{A: 0, B: "", V: 1}
		o.see(db.Create(&p), p)
		a := Asset{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		o.see(db.Create(&a), a)
	}},
	{name: "create select star", run: func(db *gorm.DB, o *observed) {
		th := Thing{Code: "s"}
		o.see(db.Select("*").Create(&th), th)
	}},
	{name: "create omit associations", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "o", Orders: []Order{{Title: "x"}}, Company: &Company{Name: "c"}}
		o.see(db.Omit(clause.Associations).Create(&c), c)
		d := Customer{Name: "p", Orders: []Order{{Title: "x"}}, Tags: []Tag{{ID: 1, Name: "red"}}}
		o.see(db.Omit("Orders", "Tags.*").Create(&d), d)
	}},
	{name: "create select association field", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "o", Orders: []Order{{Title: "x", Amount: 5}}, Company: &Company{Name: "c"}}
		o.see(db.Select("Name", "Orders", "Orders.Title").Create(&c), c)
	}},
	{name: "create scopes", run: func(db *gorm.DB, o *observed) {
		red := func(tx *gorm.DB) *gorm.DB { return tx.Omit("amount") }
		ord := Order{Title: "s", Amount: 9}
		o.see(db.Scopes(red).Create(&ord), ord)
	}},
	{name: "create in read only columns", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Select("title").Create(map[string]any{"title": "only", "amount": 9}))
	}},

	{name: "save pointers", run: func(db *gorm.DB, o *observed) {
		s := []*Order{{ID: 1, Title: "one"}, {Title: "new"}, {ID: 77, Title: "seven"}}
		o.see(db.Save(s), s)
	}},
	{name: "save omit", run: func(db *gorm.DB, o *observed) {
		ord := Order{ID: 1, Title: "t", Amount: 99}
		o.see(db.Omit("amount").Save(&ord), ord)
	}},
	{name: "save uuid key", run: func(db *gorm.DB, o *observed) {
		var a Asset
		o.see(db.First(&a, "id = ?", uuid(1)))
		o.see(db.Save(&a), a)
		a.Meta, a.Place, a.Extra = `{"a":[1,2.50],"b":1}`, nil, nil
		o.see(db.Save(&a), a)
		o.see(db.Save(&Asset{ID: uuid(7), At: a.At}))
	}},
	{name: "save twice", run: func(db *gorm.DB, o *observed) {
		th := Thing{Code: "tw", Rate: 1.5}
		o.see(db.Save(&th), th)
		th.Rank = 70
		o.see(db.Save(&th), th)
		o.see(db.Save(&th), th)
	}},
	{name: "save soft deleted", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Unscoped().First(&c, 4))
		c.DeletedAt, c.Name = gorm.DeletedAt{}, "back"
		o.see(db.Unscoped().Save(&c), c)
	}},
	{name: "save by table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("orders").Save(&Order{ID: 2, Title: "t"}))
	}},
	{name: "save refused by hook", run: func(db *gorm.DB, o *observed) {
		o.see(db.Save(&Hooked{ID: 1, Name: "refused"}))
		o.see(db.Save(&Hooked{ID: 1, Name: "fine"}))
	}},

	{name: "update column expressions", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Where("id < ?", 3).UpdateColumn("amount", gorm.Expr("amount - ?", 1)))
		o.see(db.Model(&Order{}).Where("id < ?", 3).UpdateColumns(map[string]any{"amount": gorm.Expr("amount * 2"), "title": gorm.Expr("upper(title)")}))
		o.see(db.Model(&Customer{}).Where("id = 1").UpdateColumn("age", db.Model(&Order{}).Select("MAX(amount)")))
	}},
	{name: "updates map mixed", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Updates(map[string]any{
			"Name": "by field", "age": gorm.Expr("age + 1"), "note": nil, "Settings": map[string]string{"q": "1"}, "email": db.Model(&Tag{}).Select("MIN(name)"),
		}))
	}},
	{name: "updates pointer to map", run: func(db *gorm.DB, o *observed) {
		m := map[string]any{"title": "pm"}
		o.see(db.Model(&Order{ID: 1}).Updates(&m), m)
	}},
	{name: "updates pointer to struct", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{ID: 1}).Updates(&Order{Title: "ps"}))
		o.see(db.Model(Order{ID: 2}).Updates(Order{Title: "by value"}))
	}},
	{name: "updates select star", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{ID: 1}).Select("*").Updates(Order{ID: 1, Title: "zeroed"}))
		o.see(db.Model(&Order{ID: 2}).Select("*").Omit("title", "customer_id").Updates(Order{ID: 2}))
	}},
	{name: "updates select of map", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{ID: 1}).Select("title").Updates(map[string]any{"title": "t", "amount": 1}))
		o.see(db.Model(&Order{ID: 1}).Select("UpdatedAt").Updates(map[string]any{"title": "u"}))
	}},
	{name: "update to null and back", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Updates(map[string]any{"email": nil, "company_id": nil}))
		o.see(db.Model(&Customer{ID: 1}).Update("email", "ann@example.com"))
		o.see(db.Model(&Customer{ID: 1}).Update("address_zip", ""))
	}},
	{name: "update all by condition", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Where("1 = 1").Update("amount", gorm.Expr("amount + 1")))
		o.see(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(&Customer{}).Updates(map[string]any{"score": 9}))
	}},
	{name: "update map condition", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Where(map[string]any{"title": []string{"pen", "pad"}}).Update("amount", 0))
		o.see(db.Model(&Order{}).Where("title IN ?", []string{}).Update("amount", 1))
	}},
	{name: "update grouped conditions", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Where(db.Where("title = ?", "pen").Or("title = ?", "ink")).Where("amount > ?", 5).Update("amount", 0))
	}},
	{name: "update order and limit", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Where("amount > 1").Order("id DESC").Limit(2).Update("title", "last"))
	}},
	{name: "update scopes of all kinds", run: func(db *gorm.DB, o *observed) {
		table := func(tx *gorm.DB) *gorm.DB { return tx.Table("orders").Where("id > ?", 1) }
		o.see(db.Scopes(table).Updates(map[string]any{"amount": 2}))
		o.see(db.Model(&Order{}).Scopes(table, func(tx *gorm.DB) *gorm.DB { return tx.Where("id < ?", 3) }).Update("title", "x"))
	}},
	{name: "update keys one after the other", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Asset{}).Where("id = ?", uuid(1)).Update("id", uuid(5)))
		o.see(db.Model(&Pair{A: 1, B: "y"}).Updates(map[string]any{"a": 9, "b": "q", "v": 0}))
		o.see(db.Model(&Toy{ID: 1}).Updates(map[string]any{"id": 8, "name": "moved"}))
	}},
	{name: "update key to one that is taken", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Pair{A: 1, B: "x"}).Update("b", "y"))
		o.see(db.Model(&Doc{}).Where("1 = 1").Update("id", "same"))
	}},
	{name: "update keys that follow each other", run: func(db *gorm.DB, o *observed) {
		// Each row gets the key of the next; the order makes it possible where keys are checked by row.
		o.see(db.Model(&Toy{}).Create(&[]Toy{{ID: 2, Name: "two"}, {ID: 3, Name: "three"}}))
		o.see(db.Model(&Toy{}).Where("id > 1").Order("id DESC").Update("id", gorm.Expr("id + ?", 1)))
	}},
	{name: "update json", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Asset{ID: uuid(1)}).UpdateColumn("meta", Document(`{ "a" : [1,2.50], "b":1 }`)))
		o.see(db.Model(&Asset{ID: uuid(1)}).UpdateColumn("meta", Document(`{"a":[1,2.5,3],"b":{"c":"\u00e9<&>"}}`)))
		o.see(db.Model(&Asset{ID: uuid(2)}).Updates(Asset{Meta: `[]`, Extra: []string{"n"}}))
		o.see(db.Model(&Asset{ID: uuid(1)}).UpdateColumn("meta", nil))
	}},
	{name: "update serialized", run: func(db *gorm.DB, o *observed) {
		a := Asset{ID: uuid(1)}
		o.see(db.Model(&a).Updates(Asset{Blob: []string{"x", "y"}, Seen: 1767323046, Level: ptr(Level(1))}), a)
		o.see(db.Model(&a).Select("Blob", "Seen", "Level", "Extra").Updates(Asset{}), a)
	}},
	{name: "update embedded pointer", run: func(db *gorm.DB, o *observed) {
		a := Asset{ID: uuid(1)}
		o.see(db.Model(&a).Updates(Asset{Place: &Place{Room: "attic"}}), a)
		o.see(db.Model(&Asset{ID: uuid(2)}).Update("place_shelf", 4))
	}},
	{name: "update bytes and times", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Asset{ID: uuid(1)}).Updates(Asset{Data: []byte{1, 0, 254}, At: time.Date(2026, 1, 2, 5, 4, 5, 0, time.FixedZone("", 7200))}))
		o.see(db.Model(&Asset{ID: uuid(1)}).Updates(Asset{Data: []byte{}, At: time.Date(1, 2, 3, 4, 5, 6, 7e8, time.UTC)}))
		o.see(db.Model(&Doc{ID: "d1"}).Update("body", []byte("x")))
	}},
	{name: "update same time in another zone", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Asset{ID: uuid(1)}).UpdateColumn("at", time.Date(2026, 1, 2, 5, 4, 5, 0, time.FixedZone("", 7200))))
	}},
	{name: "update skip hooks", run: func(db *gorm.DB, o *observed) {
		s := db.Session(&gorm.Session{SkipHooks: true})
		h := Hooked{ID: 1, Steps: "s"}
		o.see(s.Model(&h).Update("name", "refused"), h)
		o.see(s.Save(&Hooked{ID: 1, Name: "refused"}))
		o.see(s.Delete(&Hooked{ID: 1}))
	}},
	{name: "update model and table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("orders").Model(&Order{}).Where("id = ?", 1).Update("title", "both"))
		o.see(db.Table("orders").Model(&Toy{}).Where("id = ?", 2).Updates(map[string]any{"title": "toy"}))
		o.see(db.Model(&Toy{}).Table("orders").Where("id = ?", 3).UpdateColumn("title", "toy"))
		o.see(db.Table("orders AS o").Model(&Order{}).Where("o.id = ?", 1).Update("title", "alias"))
	}},
	{name: "update twice from one session", run: func(db *gorm.DB, o *observed) {
		s := db.Model(&Order{}).Where("id = ?", 1).Session(&gorm.Session{})
		o.see(s.Update("title", "a"))
		o.see(s.Update("title", "b"))
		o.see(s.Where("amount = ?", 0).Update("title", "c"))
	}},
	{name: "update with the lock of the caller", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			var ord Order
			find := tx
			if tx.Dialector.Name() != "sqlite" {
				find = tx.Clauses(clause.Locking{Strength: "UPDATE"})
			}
			o.see(find.First(&ord, 1))
			ord.Amount++
			return tx.Save(&ord).Error
		}))
	}},
	{name: "to sql", run: func(db *gorm.DB, o *observed) {
		s := db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Model(&Order{}).Where("id = 1").UpdateColumn("title", "no") })
		o.err(nil, s)
		d := db.Session(&gorm.Session{DryRun: true})
		o.err(d.Delete(&Order{ID: 1}).Error)
		o.err(d.Save(&Order{ID: 1, Title: "no"}).Error)
		o.err(d.Model(&Order{ID: 1}).Updates(Order{Title: "no"}).Error)
		o.err(d.CreateInBatches(&[]Order{{Title: "no"}, {Title: "no"}}, 1).Error)
	}},

	{name: "delete struct", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(Order{ID: 1}))
		o.see(db.Delete([]Order{{ID: 2}, {ID: 3}}))
	}},
	{name: "delete inline conditions", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Order{}, "title LIKE ?", "p%"))
		o.see(db.Delete(&Order{}, map[string]any{"title": "ink"}))
		o.see(db.Delete(&Thing{}, Thing{Code: "k1"}))
		o.see(db.Delete(&Customer{}, []int{2, 3}))
	}},
	{name: "delete sub-query", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where("customer_id IN (?)", db.Model(&Customer{}).Select("id").Where("name = ?", "ann")).Delete(&Order{}))
	}},
	{name: "delete scopes", run: func(db *gorm.DB, o *observed) {
		big := func(tx *gorm.DB) *gorm.DB { return tx.Where("amount > ?", 6) }
		o.see(db.Scopes(big).Delete(&Order{}))
	}},
	{name: "delete order and limit", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where("amount > 1").Order("id DESC").Limit(1).Delete(&Order{}))
	}},
	{name: "delete foreign struct", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("orders").Where("title = ?", "pen").Delete(&Toy{}))
		o.see(db.Table("orders").Where("title = ?", "ink").Delete(map[string]any{}))
	}},
	{name: "delete uuid key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Asset{ID: uuid(1)}))
		o.see(db.Delete(&Asset{}, "id = ?", uuid(2)))
	}},
	{name: "delete unscoped of many", run: func(db *gorm.DB, o *observed) {
		o.see(db.Unscoped().Where("id > ?", 2).Delete(&Customer{}))
		o.see(db.Unscoped().Delete(&[]Zero{{ID: 1}, {ID: 2}}))
	}},
	{name: "soft delete inline", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Customer{}, "age < ?", 45))
		o.see(db.Delete(&Zero{}, 1))
	}},
	{name: "soft delete table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customers").Where("id = ?", 1).Delete(&Customer{}))
		o.see(db.Table("customers").Where("id = ?", 3).Updates(map[string]any{"deleted_at": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}))
	}},
	{name: "soft delete by update", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Update("deleted_at", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		o.see(db.Unscoped().Model(&Customer{ID: 1}).Update("deleted_at", time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)))
		o.see(db.Unscoped().Model(&Customer{ID: 1}).Update("name", "of a deleted row"))
	}},
	{name: "restore in all ways", run: func(db *gorm.DB, o *observed) {
		o.see(db.Unscoped().Model(&Customer{}).Where("deleted_at IS NOT NULL").UpdateColumn("deleted_at", nil))
		o.see(db.Delete(&Customer{ID: 4}))
		o.see(db.Unscoped().Model(&Customer{ID: 4}).Updates(map[string]any{"deleted_at": gorm.Expr("NULL"), "name": "back"}))
		o.see(db.Delete(&Customer{ID: 4}))
		o.see(db.Unscoped().Model(&Customer{ID: 4}).Select("DeletedAt").Updates(Customer{}))
		o.see(db.Delete(&Customer{ID: 4}))
		o.see(db.Unscoped().Model(&[]Customer{{ID: 4}, {ID: 2}}).Update("deleted_at", gorm.DeletedAt{}))
	}},
	{name: "delete and add again", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Thing{}, 1))
		o.see(db.Create(&Thing{ID: 1, Code: "k1"}))
	}},

	{name: "generics create", run: func(db *gorm.DB, o *observed) {
		ctx := context.Background()
		ord := Order{Title: "g"}
		o.err(gorm.G[Order](db).Create(ctx, &ord), ord)
		many := []Order{{Title: "a"}, {Title: "b"}, {Title: "c"}}
		o.err(gorm.G[Order](db).CreateInBatches(ctx, &many, 2), many)
		o.err(gorm.G[Order](db).Table("orders").Create(ctx, &Order{Title: "t"}))
	}},
	{name: "generics with clauses", run: func(db *gorm.DB, o *observed) {
		ctx := context.Background()
		th := Thing{Code: "k1", Rank: 70}
		up := clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"})}
		o.err(gorm.G[Thing](db, up).Create(ctx, &th), th)
		o.err(gorm.G[Thing](db, clause.OnConflict{DoNothing: true}).Create(ctx, &Thing{Code: "k2"}))
		res := gorm.WithResult()
		o.err(gorm.G[Order](db, res).Create(ctx, &Order{Title: "r"}), res.RowsAffected)
	}},
	{name: "generics chains", run: func(db *gorm.DB, o *observed) {
		ctx := context.Background()
		n, err := gorm.G[Order](db).Scopes(func(st *gorm.Statement) { st.Where("amount > ?", 6) }).Updates(ctx, Order{Title: "s"})
		o.err(err, n)
		n, err = gorm.G[Order](db).Where("id = ?", 1).Or("id = ?", 2).Select("title", "amount").Updates(ctx, Order{Title: "sel"})
		o.err(err, n)
		n, err = gorm.G[Order](db).Where("id = ?", 3).Omit("title").Updates(ctx, Order{Title: "om", Amount: 4})
		o.err(err, n)
		n, err = gorm.G[Order](db).Not("id = ?", 1).Update(ctx, "amount", gorm.Expr("amount + 1"))
		o.err(err, n)
		n, err = gorm.G[Customer](db).Where("id = ?", 2).Delete(ctx)
		o.err(err, n)
		n, err = gorm.G[Doc](db).Where("id IN ?", []string{"d1", "d2"}).Delete(ctx)
		o.err(err, n)
		_, err = gorm.G[Order](db).Delete(ctx)
		o.err(err)
	}},
	{name: "generics hooks", run: func(db *gorm.DB, o *observed) {
		ctx := context.Background()
		h := Hooked{Name: "g"}
		o.err(gorm.G[Hooked](db).Create(ctx, &h), h)
		n, err := gorm.G[Hooked](db).Where("id = ?", 1).Update(ctx, "name", "x")
		o.err(err, n)
	}},
	{name: "generics in transaction", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.err(gorm.G[Order](tx).Create(context.Background(), &Order{Title: "g"}))
			_, err := gorm.G[Order](tx).Where("id = ?", 1).Delete(context.Background())
			o.err(err)
			return tx.Transaction(func(tx *gorm.DB) error {
				_, err := gorm.G[Order](tx).Where("id = ?", 2).Update(context.Background(), "amount", 1)
				return err
			})
		}))
	}},
}
