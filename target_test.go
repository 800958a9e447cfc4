package audit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Order has lines that point at it by a declared association, notes by a polymorphic one, parcels by
// a column that is no key, and stamps by a key of two columns.
type Order struct {
	Shop   string  `gorm:"primaryKey"`
	Number int     `gorm:"primaryKey;autoIncrement:false"`
	Code   string  `gorm:"uniqueIndex"`
	Stamps []Stamp `gorm:"foreignKey:OrderShop,OrderNumber;references:Shop,Number"`
}

type Stamp struct {
	ID          uint
	OrderNumber int
	OrderShop   string
}

type Parcel struct {
	ID        uint
	OrderCode *string
	Order     *Order `gorm:"foreignKey:OrderCode;references:Code"`
}

type Team struct {
	ID      uint
	Name    string
	Notes   []Note   `gorm:"polymorphic:Owner"`
	Members []Person `gorm:"many2many:team_people"`
}

type Note struct {
	ID        uint
	OwnerID   uint
	OwnerType string
	Text      string
}

type Person struct {
	ID   uint
	Name string
}

// TeamPerson is a row of the join table.
type TeamPerson struct {
	TeamID   uint `gorm:"primaryKey"`
	PersonID uint `gorm:"primaryKey"`
	Since    time.Time
}

func (TeamPerson) TableName() string { return "team_people" }

func TestTarget_kindsOfRelations(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Stamp{}, audit.Target("order")))
		must(t, reg.Register(&Parcel{}, audit.Target(&Order{})))
		must(t, reg.Register(&Order{}))
		must(t, reg.Register(&Note{}, audit.Target("audit_test.Team")))
		must(t, reg.Register(&TeamPerson{}, audit.Target(&Team{})))
		must(t, reg.Register(&Team{}))
		must(t, plain.SetupJoinTable(&Team{}, "Members", &TeamPerson{}))
		db, rec := setup(t, plain, audit.Config{Registry: reg})

		order := Order{Shop: "s", Number: 7, Code: "c7"}
		must(t, db.Create(&order).Error)
		rec.expect(t, `ADD order s,7 "c7"`)
		must(t, db.Create(&Stamp{OrderShop: "s", OrderNumber: 7}).Error)
		rec.expect(t, `ADD order s,7 "c7" from stamp 1 "stamp 1"`)
		must(t, db.Create(&Stamp{OrderShop: "s", OrderNumber: 8}).Error)
		rec.expect(t, `ADD order s,8 "order s,8" from stamp 2 "stamp 2"`)
		must(t, db.Create(&Parcel{OrderCode: &order.Code}).Error)
		rec.expect(t, `ADD order s,7 "c7" from parcel 1 "parcel 1"`)
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Where("1 = 1").Delete(&Parcel{}).Error)
			must(t, tx.Where("order_number = 7").Delete(&Stamp{}).Error)
			return tx.Delete(&order).Error
		}))
		rec.expect(t, `DELETE order s,7 "c7" cascaded:map[parcel:1 stamp:1]`)

		// The parent and the child in one call: nothing is read.
		team := Team{Name: "red", Notes: []Note{{Text: "n"}}}
		must(t, db.Create(&team).Error)
		rec.expect(t, `ADD team 1 "red"`, `ADD team 1 "red" from note 1 "note 1"`)
		must(t, db.Create(&Note{OwnerID: team.ID, OwnerType: "people"}).Error)
		rec.expect(t, `ADD note 2 "note 2"`)

		// A many-to-many relation through a registered join model.
		must(t, db.Model(&team).Association("Members").Append(&Person{Name: "Ann"}))
		rec.expect(t, `ADD team 1 "red" from teamperson 1,1 "teamperson 1,1"`)
		must(t, db.Model(&team).Association("Members").Clear())
		rec.expect(t, `DELETE team 1 "red" from teamperson 1,1 "teamperson 1,1"`)
	})
}

func TestTarget_manyParents(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		var employees []Employee
		for i := range 450 {
			employees = append(employees, Employee{Name: fmt.Sprint("e", i)})
		}
		must(t, db.CreateInBatches(&employees, 100).Error)
		rec.take()
		var dependents []Dependent
		for i := range employees {
			dependents = append(dependents, Dependent{EmployeeID: &employees[i].ID, FullName: employees[i].Name})
		}
		must(t, db.CreateInBatches(&dependents, 100).Error)
		records := rec.take()
		if len(records) != 450 {
			t.Fatalf("%d records, want 450", len(records))
		}
		for _, r := range records {
			if "dependent "+r.ObjectRepr != r.SourceRepr {
				t.Errorf("%s", line(r))
			}
		}
	})
}

// TestHandles_ofAllKinds does the same with every kind of handle, on a pool of one connection, where
// whoever asks for a second one waits for ever.
func TestHandles_ofAllKinds(t *testing.T) {
	t.Parallel()
	for _, o := range openers {
		for _, prepare := range []bool{false, true} {
			for _, skip := range []bool{false, true} {
				for _, mode := range []string{"sink", "transaction", "embedded"} {
					name := fmt.Sprintf("%s/prepare=%v/skip=%v/%s", o.name, prepare, skip, mode)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						plain := open(t, o.open(t), &gorm.Config{PrepareStmt: prepare, SkipDefaultTransaction: skip, DisableForeignKeyConstraintWhenMigrating: true})
						pool, err := plain.DB()
						must(t, err)
						pool.SetMaxOpenConns(1)
						rec := &recorder{}
						take := rec.take
						cfg := audit.Config{Registry: company(t)}
						var db *gorm.DB
						switch mode {
						case "sink":
							db, rec = setup(t, plain, cfg)
							take = rec.take
						case "transaction":
							cfg.TxSink = (*txRecorder)(rec)
							db, _ = setup(t, plain, cfg)
						case "embedded":
							must(t, plain.AutoMigrate(cfg.Registry.Models()...))
							must(t, plain.Use(audit.New(cfg)))
							db = plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"}))
							take = newRecords(t, plain)
						}
						ctx, cancel := context.WithTimeout(db.Statement.Context, time.Minute)
						defer cancel()
						db = db.WithContext(ctx)

						e := Employee{Name: "Ann"}
						must(t, db.Create(&e).Error)
						d := Dependent{EmployeeID: &e.ID, FullName: "Kim"}
						must(t, db.Create(&d).Error)
						must(t, db.Model(&d).Update("full_name", "Lee").Error)
						expect(t, take(), `ADD employee 1 "Ann"`, `ADD employee 1 "Ann" from dependent 1 "dependent Kim"`,
							`CHANGE employee 1 "Ann" from dependent 1 "dependent Lee" full_name:"Kim"->"Lee"`)
						must(t, db.Transaction(func(tx *gorm.DB) error {
							must(t, tx.Model(&d).Update("full_name", "Max").Error)
							_ = tx.Transaction(func(tx *gorm.DB) error {
								must(t, tx.Delete(&d).Error)
								must(t, audit.Log(tx, audit.Entry{Action: "NOT"}))
								return context.Canceled
							})
							return audit.Log(tx, audit.Entry{Action: "PRINT", Object: &e})
						}))
						expect(t, take(), `CHANGE employee 1 "Ann" from dependent 1 "dependent Max" full_name:"Lee"->"Max"`, `PRINT employee 1 "Ann"`)
						must(t, db.Unscoped().Select("Dependents").Delete(&e).Error)
						expect(t, take(), `DELETE employee 1 "Ann" cascaded:map[dependent:1]`)
						b, err := audit.StartBatch(db, audit.BatchOptions{Action: "IMPORT"})
						must(t, err)
						b.AddError(context.Canceled)
						must(t, b.End())
						expect(t, take(), `IMPORT   ""`)
					})
				}
			}
		}
	}
}

// noSelf leaves out the records about auditing itself.
var noSelf = []store.Filter{{Field: store.FieldObjectType, Values: []string{audit.ObjectTypeConfig}, Not: true}}

// newRecords gives a function that takes what is new in the embedded store.
func newRecords(t *testing.T, db *gorm.DB) func() []event.Record {
	t.Helper()
	trail, err := sqlstore.New(db, sqlstore.Config{})
	must(t, err)
	q := store.Query{Ascending: true, Size: 100, Filters: noSelf}.WithDefaults()
	return func() []event.Record {
		t.Helper()
		page, err := trail.Search(t.Context(), q)
		must(t, err)
		if n := len(page.Records); n > 0 {
			last := store.PositionOf(page.Records[n-1])
			q.After = &last
		}
		return page.Records
	}
}
