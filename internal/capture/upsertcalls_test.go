package capture_test

import (
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// on gives the clause that updates columns where a unique column is taken.
func on(key string, columns ...string) clause.OnConflict {
	return clause.OnConflict{Columns: []clause.Column{{Name: key}}, DoUpdates: clause.AssignmentColumns(columns)}
}

// upsertCalls are further ways to find or to make rows.
var upsertCalls = []call{
	{name: "first or create assign new", run: func(db *gorm.DB, o *observed) {
		var c Customer
		o.see(db.Where(Customer{Name: "foc"}).Assign(Customer{Age: 7}).FirstOrCreate(&c), c)
		o.see(db.Where(Customer{Name: "foc"}).Assign(Customer{Age: 7}).FirstOrCreate(&c), c)
	}},
	{name: "first or create assign map", run: func(db *gorm.DB, o *observed) {
		var c Order
		o.see(db.Where("title = ?", "pen").Assign(map[string]any{"amount": 0, "title": "pen"}).FirstOrCreate(&c), c)
		var d Order
		o.see(db.Where(&Order{Title: "new"}).Attrs(map[string]any{"amount": 2}).FirstOrCreate(&d), d)
	}},
	{name: "first or create inline", run: func(db *gorm.DB, o *observed) {
		var c Order
		o.see(db.Assign(Order{Amount: 3}).FirstOrCreate(&c, Order{Title: "ink"}), c)
		var d Order
		o.see(db.Attrs(Order{Amount: 3}).FirstOrCreate(&d, Order{Title: "other"}), d)
	}},
	{name: "first or init save", run: func(db *gorm.DB, o *observed) {
		var c Order
		o.see(db.Where(Order{Title: "pen"}).Assign(Order{Amount: 8}).FirstOrInit(&c), c)
		o.see(db.Save(&c), c)
		var d Order
		o.see(db.Where(Order{Title: "init"}).FirstOrInit(&d), d)
		o.see(db.Save(&d), d)
	}},

	{name: "on conflict do nothing unique", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70}, {Code: "k9"}, {Code: "k2"}}
		o.see(db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoNothing: true}).Create(&th))
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Customer{Name: "n", Email: ptr("ann@example.com")}))
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Pair{A: 1, B: "x", V: 99}))
	}},
	{name: "on conflict update all of unique", run: func(db *gorm.DB, o *observed) {
		th := []Thing{{Code: "k1", Rank: 70, Rate: 5}, {Code: "k9", Rate: 6}}
		o.see(db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, UpdateAll: true}).Create(&th))
	}},
	{name: "on conflict update unique index", run: func(db *gorm.DB, o *observed) {
		c := []Customer{{Name: "new ann", Email: ptr("ann@example.com"), Age: 1}, {Name: "n2", Email: ptr("n2@example.com")}}
		o.see(db.Clauses(on("email", "name", "updated_at")).Create(&c))
	}},
	{name: "on conflict assignments", run: func(db *gorm.DB, o *observed) {
		set := map[string]any{"rank": gorm.Expr("things.rank + 100"), "kind": "upserted"}
		if db.Dialector.Name() == "mysql" {
			set["rank"] = gorm.Expr("`rank` + 100")
		}
		th := []Thing{{Code: "k1"}, {Code: "k9"}}
		o.see(db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.Assignments(set)}).Create(&th))
	}},
	{name: "on conflict to the same values", run: func(db *gorm.DB, o *observed) {
		o.see(db.Clauses(on("code", "rank")).Create(&Thing{Code: "k1", Rank: 7}))
		o.see(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Pair{A: 1, B: "x", V: 10}))
	}},
	{name: "on conflict restores", run: func(db *gorm.DB, o *observed) {
		o.see(db.Create(&Customer{ID: 50, Name: "gone", Email: ptr("gone@example.com")}))
		o.see(db.Delete(&Customer{ID: 50}))
		o.see(db.Clauses(on("email", "deleted_at", "name")).Create(&Customer{Name: "back", Email: ptr("gone@example.com")}))
	}},
	{name: "on conflict soft deletes", run: func(db *gorm.DB, o *observed) {
		c := Customer{Email: ptr("bob@example.com"), DeletedAt: gorm.DeletedAt{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Valid: true}}
		o.see(db.Clauses(on("email", "deleted_at")).Create(&c))
	}},
	{name: "on conflict in batches", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "n1"}, {ID: "d1", Order: 5}, {ID: "d2", Order: 6}, {ID: "n2"}, {ID: "n3"}}
		o.see(db.Clauses(clause.OnConflict{UpdateAll: true}).CreateInBatches(&d, 2), d)
	}},
	{name: "on conflict uuid", run: func(db *gorm.DB, o *observed) {
		a := []Asset{{ID: uuid(1), Meta: `{"x":1}`, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, {ID: uuid(3), At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
		o.see(db.Clauses(on("id", "meta")).Create(&a))
		o.see(db.Clauses(on("id", "meta")).Create(&Asset{ID: uuid(2), Meta: `{}`, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}))
	}},
	{name: "on conflict by table", run: func(db *gorm.DB, o *observed) {
		o.see(db.Table("docs").Clauses(on("id", "order")).Create(map[string]any{"id": "d1", "order": 7}))
		o.see(db.Table("docs").Clauses(on("id", "order")).Create(&[]map[string]any{{"id": "d2", "order": 8}, {"id": "n", "order": 9}}))
	}},
	{name: "on conflict foreign struct", run: func(db *gorm.DB, o *observed) {
		type part struct {
			ID    string
			Order int
		}
		o.see(db.Table("docs").Clauses(on("id", "order")).Create(&part{ID: "d1", Order: 7}))
	}},
	{name: "on conflict returning", run: func(db *gorm.DB, o *observed) {
		d := []Doc{{ID: "d1", Order: 9}, {ID: "n", Order: 9}}
		o.see(db.Clauses(on("id", "order"), clause.Returning{}).Create(&d), d)
	}},
	{name: "on conflict changes its key", run: func(db *gorm.DB, o *observed) {
		o.see(db.Clauses(on("code", "id", "rank")).Create(&Thing{ID: 40, Code: "k1", Rank: 4}))
	}},
	{name: "on conflict without rows", run: func(db *gorm.DB, o *observed) {
		o.see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]Doc{}))
	}},
	{name: "on conflict of another key", run: func(db *gorm.DB, o *observed) {
		// The target is one key, the row that is in the way has the other.
		o.see(db.Clauses(on("id", "rank")).Create(&Thing{ID: 41, Code: "k2", Rank: 4}))
		o.see(db.Clauses(on("id", "rank")).Create(&Thing{ID: 2, Code: "k1", Rank: 4}))
	}},
	{name: "on conflict nested", run: func(db *gorm.DB, o *observed) {
		c := Customer{Name: "n", Company: &Company{ID: 1, Name: "ignored"}, Tags: []Tag{{ID: 2, Name: "ignored"}}, Profile: &Profile{ID: 1, Bio: "ignored"}}
		o.see(db.Create(&c))
		c.Company.Name, c.Tags[0].Name, c.Profile.Bio = "Acme 2", "blue 2", "bio 2"
		o.see(db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&c))
	}},
	{name: "on conflict in savepoint", run: func(db *gorm.DB, o *observed) {
		o.err(db.Transaction(func(tx *gorm.DB) error {
			o.see(tx.Clauses(on("code", "rank")).Create(&Thing{Code: "k1", Rank: 1}))
			o.err(tx.Transaction(func(tx *gorm.DB) error {
				o.see(tx.Clauses(on("code", "rank")).Create(&Thing{Code: "k1", Rank: 2}))
				return errNo
			}))
			return tx.Clauses(on("code", "rank")).Create(&Thing{Code: "k1", Rank: 3}).Error
		}))
	}},
}
