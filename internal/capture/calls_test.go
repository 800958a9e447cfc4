package capture_test

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

func ptr[T any](v T) *T { return &v }

var errNo = errors.New("no")

// calls are what an application may do with GORM.
var calls = []call{
	{name: "create struct", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "new", Age: 1}
		o.see(db.Create(&c), c)
	}},
	{name: "create all fields", run: func(db *gorm.DB, o *observed) {
		c := Customer{
			Name: "new", Email: ptr("n@example.com"), Age: 1, Score: 0.1, Balance: "1.239", Active: false,
			Note: sql.NullString{String: "x", Valid: true}, Settings: map[string]string{"k": "v"},
			Address: Address{City: "Bern", Zip: ptr("1")}, CompanyID: ptr(uint(1)),
		}
		o.see(db.Create(&c), c)
	}},
	{name: "create slice", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{Name: "a"}, {Name: "b", ID: 50}, {Name: "c"}}
		o.see(db.Create(&c), c)
	}},
	{name: "create slice of pointers", run: func(db *gorm.DB, o *observed) {
		c := []*Customer{{Name: "a"}, {Name: "b"}}
		o.see(db.Create(c), c)
	}},
	{name: "create empty slice", run: func(db *gorm.DB, o *observed) {
		c := []Customer{}
		o.see(db.Create(&c), c)
	}},
	{name: "create map", run: func(db *gorm.DB, o *observed) {
		m := map[string]any{"Name": "m", "Age": 3}
		o.see(db.Model(&Customer{}).Create(m), m)
	}},
	{name: "create pointer to map", run: func(db *gorm.DB, o *observed) {
		m := map[string]any{"name": "m", "age": 3}
		o.see(db.Model(&Customer{}).Create(&m), m)
	}},
	{name: "create slice of maps", run: func(db *gorm.DB, o *observed) {
		m := []map[string]any{{"Name": "m"}, {"Name": "n", "Age": 4}}
		o.see(db.Model(&Customer{}).Create(m))
		o.see(db.Model(&Customer{}).Create(&m))
	}},
	{name: "create table map", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customers").Create(map[string]any{"name": "m", "age": 3}))
	}},
	{name: "create in batches", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}}
		o.see(db.CreateInBatches(&c, 2), c)
	}},
	{name: "create batch fails", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "n1"}, {ID: "n2"}, {ID: "d1"}}
		o.see(db.CreateInBatches(&d, 2), d)
	}},
	{name: "create select", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "s", Age: 9}
		o.see(db.Select("Name").Create(&c), c)
	}},
	{name: "create omit", run: func(db *gorm.DB, o *observed) {
		th := Thing{Code: "o", Rank: 3, Rate: 1.239}
		o.see(db.Omit("Rank", "Kind").Create(&th), th)
	}},
	{name: "create defaults", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "a"}, {Code: "b", Kind: "own", Rank: 1}}
		o.see(db.Create(&th), th)
	}},
	{name: "create string key", run: func(db *gorm.DB, o *observed) {
		d := Doc{ID: "new", Body: []byte{0, 1, 255}, Order: 3, Table: "x"}
		o.see(db.Create(&d), d)
	}},
	{name: "create composite key", run: func(db *gorm.DB, o *observed) {
		p := []Pair{{A: 5, B: "q", V: 1}, {A: 5, B: "r"}}
		o.see(db.Create(&p), p)
	}},
	{name: "create without key", run: func(db *gorm.DB, o *observed) {
		l := []Line{{Place: 1, Text: "one"}, {Place: 9, Text: "nine"}}
		o.see(db.Create(&l), l)
	}},
	{name: "create duplicate", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "x", Email: ptr("ann@example.com")}
		o.see(db.Create(&c), c)
	}},
	{name: "create duplicate in slice", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "n"}, {ID: "d1"}}
		o.see(db.Create(&d), d)
	}},
	{name: "create by value", run: func(db *gorm.DB, o *observed) {
		o.see(db.Create(Doc{ID: "byvalue"}))
	}},
	{name: "create struct by value with generated key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Create(Tag{Name: "v"}))
	}},
	{name: "create hooks", run: func(db *gorm.DB, o *observed) {
		h := Hooked{Name: "new"}
		o.see(db.Create(&h), h)
	}},
	{name: "create skip hooks", run: func(db *gorm.DB, o *observed) {
		h := Hooked{Name: "new"}
		o.see(db.Session(&gorm.Session{SkipHooks: true}).Create(&h), h)
	}},
	{name: "create returning all", run: func(db *gorm.DB, o *observed) {
		th := Thing{Code: "r"}
		o.see(db.Clauses(clause.Returning{}).Create(&th), th)
	}},
	{name: "create returning columns", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "r"}, {Code: "s"}}
		o.see(db.Clauses(clause.Returning{Columns: []clause.Column{{Name: "rank"}, {Name: "kind"}}}).Create(&th), th)
	}},
	{name: "create expression", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Create(map[string]any{"name": gorm.Expr("upper(?)", "x"), "age": clause.Expr{SQL: "1 + 2"}}))
	}},
	{name: "create with result", run: func(db *gorm.DB, o *observed) {
		d := Doc{ID: "res"}
		res := gorm.WithResult()
		err := gorm.G[Doc](db, res).Create(context.Background(), &d)
		o.err(err, d)
		if res.Result != nil {
			n, err := res.Result.RowsAffected()
			o.err(err, n)
			_, err = res.Result.LastInsertId()
			o.err(err)
		}
	}},
	{name: "dry run", run: func(db *gorm.DB, o *observed) {
		tx := db.Session(&gorm.Session{DryRun: true}).Create(&Customer{Name: "dry"})
		o.see(tx, tx.Statement.SQL.String())
		tx = db.Session(&gorm.Session{DryRun: true}).Model(&Customer{ID: 1}).Update("age", 3)
		o.see(tx, tx.Statement.SQL.String())
		o.see(db, db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Delete(&Customer{}, 1) }))
	}},

	{name: "save new", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "saved"}
		o.see(db.Save(&c), c)
	}},
	{name: "save loaded", run: func(db *gorm.DB, o *observed) {
		var c Customer
		db.First(&c, 1)
		c.Age = 31
		o.see(db.Save(&c), c)
	}},
	{name: "save unchanged", run: func(db *gorm.DB, o *observed) {
		var d Doc
		db.First(&d, "id = ?", "d1")
		o.see(db.Save(&d), d)
	}},
	{name: "save missing", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 77, Name: "missing", Age: 3, Active: false}
		o.see(db.Save(&c), c)
	}},
	{name: "save deleted", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 4, Name: "was deleted"}
		o.see(db.Save(&c), c)
	}},
	{name: "save slice", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{ID: 1, Name: "ann2"}, {ID: 60, Name: "new"}, {Name: "newer"}}
		o.see(db.Save(&c), c)
	}},
	{name: "save select", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1, Name: "ann2", Age: 99}
		o.see(db.Select("Name").Save(&c), c)
	}},
	{name: "save composite", run: func(db *gorm.DB, o *observed) {
		o.see(db.Save(&Pair{A: 1, B: "x", V: 50}))
		o.see(db.Save(&Pair{A: 9, B: "z", V: 51}))
	}},

	{name: "update column", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Update("name", "x"), c)
	}},
	{name: "update equal value", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Doc{ID: "d1"}).Update("order", 1))
	}},
	{name: "updates struct", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Updates(Customer{Name: "x", Age: 0, Score: 9}), c)
	}},
	{name: "updates self", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1, Name: "self", Age: 5}
		o.see(db.Updates(&c), c)
	}},
	{name: "updates map", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.see(db.Model(&c).Updates(map[string]any{"name": "m", "age": 0, "note": nil}), c)
	}},
	{name: "updates other struct", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Updates(CustomerPart{Name: "part"}))
	}},
	{name: "updates foreign struct by table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customers").Where("id = ?", 1).Updates(CustomerPart{Name: "part"}))
	}},
	{name: "updates table map", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customers").Where("age > ?", 35).Updates(map[string]any{"score": 7}))
	}},
	{name: "update table alias", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("customers AS c").Where("c.age > ?", 35).Updates(map[string]any{"score": 7}))
	}},
	{name: "update expression", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Update("age", gorm.Expr("age * ? + ?", 2, 1)))
	}},
	{name: "update own columns", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Where("id IN ?", []int{1, 2}).Updates(map[string]any{"age": gorm.Expr("score + 1"), "score": gorm.Expr("age")}))
	}},
	{name: "update where changes predicate", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Where("age >= ?", 40).Update("age", 1))
	}},
	{name: "update or", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Where("name = ?", "ann").Or("name = ?", "cid").Update("age", 2))
	}},
	{name: "update not", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Not("name = ?", "ann").Update("age", 2))
	}},
	{name: "update struct condition", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where(&Customer{Name: "bob"}).Model(&Customer{}).Update("age", 2))
	}},
	{name: "update named argument", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Where("name = @n AND age > @a", sql.Named("n", "bob"), sql.Named("a", 1)).Update("age", 2))
	}},
	{name: "update text with placeholders in quotes", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Doc{}).Where(`id = 'd1' AND "table" <> '$1 WHERE SET RETURNING'`).Update("order", 8))
	}},
	{name: "update sub-query", run: func(db *gorm.DB, o *observed) {
		sub := db.Model(&Order{}).Select("customer_id").Where("amount > ?", 8)
		o.see(db.Model(&Customer{}).Where("id IN (?)", sub).Update("age", 2))
	}},
	{name: "update to sub-query", run: func(db *gorm.DB, o *observed) {
		sub := db.Model(&Order{}).Select("COALESCE(SUM(amount), 0)").Where("orders.customer_id = customers.id AND amount > ?", 1)
		o.see(db.Model(&Customer{}).Where("id < ?", 3).Update("age", sub))
	}},
	{name: "update scopes", run: func(db *gorm.DB, o *observed) {
		old := func(tx *gorm.DB) *gorm.DB { return tx.Where("age > ?", 35) }
		o.see(db.Model(&Customer{}).Scopes(old).Update("age", 2))
	}},
	{name: "update all", run: func(db *gorm.DB, o *observed) {
		o.see(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(&Order{}).Update("amount", 1))
	}},
	{name: "update without where", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{}).Update("amount", 1))
	}},
	{name: "update slice model", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{ID: 1}, {ID: 3}}
		o.see(db.Model(&c).Update("age", 2), c)
	}},
	{name: "update limit", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Where("age > 1").Limit(1).Update("score", 2))
	}},
	{name: "update select", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Select("name", "age").Updates(Customer{Name: "s", Score: 3}), c)
	}},
	{name: "update omit", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Omit("name").Updates(map[string]any{"name": "s", "age": 3}), c)
	}},
	{name: "update columns", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).UpdateColumn("age", 3), c)
		o.see(db.Model(&c).UpdateColumns(Customer{Name: "uc"}), c)
		o.see(db.Model(&c).UpdateColumns(map[string]any{"score": 3.5}), c)
	}},
	{name: "update key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Doc{ID: "d1"}).Update("id", "d9"))
	}},
	{name: "update keys by expression", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Tag{}).Where("id = 2").Update("id", gorm.Expr("id + ?", 100)))
		o.see(db.Model(&Pair{}).Where("a = ?", 1).Update("a", gorm.Expr("a + 10")))
	}},
	{name: "update composite", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Pair{A: 1, B: "x"}).Update("v", 3))
		o.see(db.Model(&Pair{A: 1}).Update("v", 4))
	}},
	{name: "update without key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Line{}).Where("place = ?", 1).Update("text", "uno"))
		o.see(db.Model(&Line{}).Where("place >= ?", 2).Update("text", gorm.Expr("upper(text)")))
		o.see(db.Model(&Line{}).Where("place = ?", 3).Updates(map[string]any{"place": 4, "text": "x"}))
	}},
	{name: "update returning", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Clauses(clause.Returning{}).Update("age", gorm.Expr("age + 1")), c)
		var many []Customer
		o.see(db.Model(&many).Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "age"}}}).Where("age > ?", 35).Update("age", 1), byID(&many))
		one := Customer{} // gets one of the rows, SQL does not say which
		o.see(db.Model(&one).Clauses(clause.Returning{}).Where("id IN ?", []int{1, 2}).Update("age", 5), one.Age)
	}},
	{name: "update from", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Clauses(clause.From{Tables: []clause.Table{{Name: "orders"}}}).
			Where("orders.customer_id = customers.id AND orders.amount > ?", 4).Update("score", gorm.Expr("orders.customer_id * ?", 100)))
	}},
	{name: "update joins", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{}).Joins("Company").Where("customers.age > ?", 35).Update("score", 5))
	}},
	{name: "update nothing", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 999}).Update("age", 1))
		o.see(db.Model(&Doc{ID: "d1"}).Updates(Doc{}))
	}},
	{name: "update unknown column", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Update("nope", 1))
	}},
	{name: "update violates unique", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Update("email", "bob@example.com"))
	}},
	{name: "update violates foreign key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Update("company_id", 99))
	}},
	{name: "update hooks", run: func(db *gorm.DB, o *observed) {
		h := Hooked{ID: 1, Steps: "s"}
		o.see(db.Model(&h).Update("name", "x"), h)
		o.see(db.Model(&h).Update("name", "refused"), h)
		o.see(db.Model(&h).UpdateColumn("name", "y"), h)
	}},
	{name: "update serializer", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Updates(Customer{Settings: map[string]string{"z": "1", "a": "2"}}), c)
	}},
	{name: "update serializer broken", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Customer{ID: 1}).Updates(map[string]any{"settings": "{broken"}))
		var c Customer
		o.see(db.First(&c, 1))
		o.see(db.Model(&Customer{ID: 1}).Updates(map[string]any{"settings": `{"b":"2"}`}))
	}},
	{name: "save embedded pointer", run: func(db *gorm.DB, o *observed) {
		var a []Asset
		o.see(db.Order("id").Find(&a), a)
		o.see(db.Save(&a), a)
		a[0].Place = nil
		o.see(db.Save(&a[0]), a[0])
		o.see(db.Save(&a[0]), a[0])
	}},
	{name: "update embedded", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 1}
		o.see(db.Model(&c).Updates(Customer{Address: Address{City: "Kyiv", Zip: ptr("0")}}), c)
	}},
	{name: "update numeric", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Thing{ID: 1}).Update("rate", 1.239))
		o.see(db.Model(&Customer{ID: 1}).UpdateColumn("balance", "10.250"))
	}},
	{name: "update generics", run: func(db *gorm.DB, o *observed) {
		n, err := gorm.G[Customer](db).Where("age > ?", 35).Update(context.Background(), "age", 3)
		o.err(err, n)
		n, err = gorm.G[Customer](db).Where("id = ?", 1).Updates(context.Background(), Customer{Name: "g"})
		o.err(err, n)
	}},
	{name: "update cancelled", run: func(db *gorm.DB, o *observed) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		o.see(db.WithContext(ctx).Model(&Customer{ID: 1}).Update("age", 3))
	}},
	{name: "update zero value time", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Zero{ID: 1}).Update("name", "zz"))
		o.see(db.Delete(&Zero{ID: 1}))
		o.see(db.Unscoped().Model(&Zero{ID: 1}).Update("deleted_at", time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC)))
	}},

	{name: "delete value", run: func(db *gorm.DB, o *observed) { o.see(db.Delete(&Order{ID: 1})) }},
	{name: "delete inline id", run: func(db *gorm.DB, o *observed) { o.see(db.Delete(&Order{}, 1)) }},
	{name: "delete inline ids", run: func(db *gorm.DB, o *observed) { o.see(db.Delete(&Order{}, []int{1, 2})) }},
	{name: "delete where", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where("amount > ?", 6).Delete(&Order{}))
	}},
	{name: "delete slice", run: func(db *gorm.DB, o *observed) {
		s := []Order{{ID: 1}, {ID: 3}}
		o.see(db.Delete(&s), s)
	}},
	{name: "delete model and value", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Order{ID: 1}).Delete(&Order{ID: 2}))
		o.see(db.Model(&Order{ID: 1}).Delete(&Order{ID: 1}))
	}},
	{name: "delete nothing", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Order{ID: 99}))
		o.see(db.Delete(&Order{}))
	}},
	{name: "delete all", run: func(db *gorm.DB, o *observed) {
		o.see(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&Order{}))
	}},
	{name: "delete table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("orders").Where("amount > ?", 6).Delete(nil))
		o.see(db.Table("orders").Where("id = ?", 1).Delete(&Order{}))
	}},
	{name: "delete string key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Doc{ID: "d1"}))
		o.see(db.Delete(&Doc{}, "id = ?", "d2"))
	}},
	{name: "delete composite", run: func(db *gorm.DB, o *observed) {
		o.see(db.Delete(&Pair{A: 1, B: "x"}))
		o.see(db.Delete(&[]Pair{{A: 1, B: "y"}, {A: 2, B: "x"}}))
	}},
	{name: "delete without key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where("place = ?", 2).Delete(&Line{}))
	}},
	{name: "delete returning", run: func(db *gorm.DB, o *observed) {
		var gone []Order
		o.see(db.Clauses(clause.Returning{}).Where("amount > ?", 4).Delete(&gone), gone)
		var some []Thing
		o.see(db.Clauses(clause.Returning{Columns: []clause.Column{{Name: "code"}}}).Where("id > 0").Delete(&some), some)
	}},
	{name: "delete violates foreign key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Unscoped().Delete(&Customer{ID: 1}))
	}},
	{name: "delete hooks", run: func(db *gorm.DB, o *observed) {
		h := Hooked{ID: 1}
		o.see(db.Delete(&h), h)
	}},
	{name: "soft delete", run: func(db *gorm.DB, o *observed) {
		c := Customer{ID: 2}
		o.see(db.Delete(&c), c)
		o.see(db.Delete(&c), c)
	}},
	{name: "soft delete where", run: func(db *gorm.DB, o *observed) {
		o.see(db.Where("age > ?", 35).Or("name = ?", "ann").Delete(&Customer{}))
	}},
	{name: "soft delete slice", run: func(db *gorm.DB, o *observed) {
		s := []Customer{{ID: 1}, {ID: 2}, {ID: 4}}
		o.see(db.Delete(&s), s)
	}},
	{name: "soft delete returning", run: func(db *gorm.DB, o *observed) {
		var s []Customer
		o.see(db.Clauses(clause.Returning{}).Where("age > ?", 35).Delete(&s), byID(&s))
	}},
	{name: "delete unscoped", run: func(db *gorm.DB, o *observed) {
		o.see(db.Unscoped().Delete(&Customer{ID: 3}))
		o.see(db.Unscoped().Delete(&Customer{ID: 4}))
	}},
	{name: "restore", run: func(db *gorm.DB, o *observed) {
		o.see(db.Unscoped().Model(&Customer{ID: 4}).Update("deleted_at", nil))
		o.see(db.Unscoped().Model(&Customer{}).Where("id = ?", 1).Updates(map[string]any{"deleted_at": nil}))
	}},
	{name: "delete generics", run: func(db *gorm.DB, o *observed) {
		n, err := gorm.G[Order](db).Where("amount > ?", 6).Delete(context.Background())
		o.err(err, n)
	}},

	{name: "first or create found", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Where(Customer{Name: "ann"}).Attrs(Customer{Age: 1}).FirstOrCreate(&c), c.ID, c.Age)
	}},
	{name: "first or create new", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Where(Customer{Name: "foc"}).Attrs(Customer{Age: 1}).FirstOrCreate(&c), c)
	}},
	{name: "first or create assign", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Where(Customer{Name: "ann"}).Assign(Customer{Age: 77}).FirstOrCreate(&c), c.ID, c.Age)
	}},

	{name: "on conflict do nothing", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "d1", Order: 9}, {ID: "n", Order: 9}}
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&d), d)
		tags := []Tag{{Name: "red"}, {Name: "green"}}
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&tags), tags)
	}},
	{name: "on conflict update all", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "d1", Order: 9}, {ID: "n", Order: 9}, {ID: "d2", Order: 2, Table: "u"}}
		o.see(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&d), d)
	}},
	{name: "on conflict update unique", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70}, {Code: "k9", Rank: 90}}
		o.see(db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "code"}},
			DoUpdates: clause.AssignmentColumns([]string{"rank"}),
		}).Create(&th), th)
	}},
	{name: "on conflict update where", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70}, {Code: "k2", Rank: 90}}
		o.see(db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "code"}},
			DoUpdates: clause.Assignments(map[string]any{"rank": gorm.Expr("things.rank + 1")}),
			Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("things.rank < ?", 8)}},
		}).Create(&th))
	}},
	{name: "on conflict composite", run: func(db *gorm.DB, o *observed) {
		p := []Pair{{A: 1, B: "x", V: 1}, {A: 1, B: "z", V: 2}}
		o.see(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&p), p)
	}},
	{name: "on conflict map", run: func(db *gorm.DB, o *observed) {
		o.see(db.Model(&Thing{}).Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"}),
		}).Create(map[string]any{"code": "k1", "rank": 5, "rate": 1}))
	}},
	{name: "on conflict null key", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{Name: "n1"}, {Name: "n2", Email: ptr("bob@example.com")}}
		o.see(db.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "email"}}, DoUpdates: clause.AssignmentColumns([]string{"name"}),
		}).Create(&c))
	}},
	{name: "on conflict table", run: func(db *gorm.DB, o *observed) {
		th := Thing{Code: "k1", Rank: 70}
		o.see(db.Table("things").Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"}),
		}).Create(&th), th)
		o.see(db.Table("notes").Create(&Line{Place: 5, Text: "five"}))
	}},
	{name: "on conflict constraint", only: "postgres", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70}, {Code: "k9", Rank: 90}}
		o.see(db.Clauses(clause.OnConflict{
			OnConstraint: "uni_things_code", DoUpdates: clause.AssignmentColumns([]string{"rank"}),
		}).Create(&th), th)
	}},
	{name: "on conflict without target", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70}, {ID: 2, Code: "k8"}, {Code: "k9", Rank: 90}}
		o.see(db.Clauses(clause.OnConflict{DoUpdates: clause.AssignmentColumns([]string{"rank"})}).Create(&th), th)
	}},
	{name: "insert or replace", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{ID: 1, Code: "k2", Rank: 70}}
		o.see(db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Create(&th), th)
	}},
	{name: "insert or ignore", only: "sqlite", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k2", Rank: 70}, {Code: "k3"}}
		o.see(db.Clauses(clause.Insert{Modifier: "OR IGNORE"}).Create(&th), th)
	}},
}
