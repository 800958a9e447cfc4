package audit_test

import (
	"fmt"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/testservers"
)

// Boss and Helper are a parent and its dependents.
type Boss struct {
	ID      uint
	Name    string
	Helpers []Helper
}

type Helper struct {
	ID     uint
	Name   string
	BossID uint
}

func bosses(t *testing.T, plain *gorm.DB) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Boss{}))
	must(t, reg.Register(&Helper{}, audit.Target(&Boss{})))
	must(t, plain.AutoMigrate(&Boss{}, &Helper{}))
	return reg
}

// Tenants with the same tables in schemas of their own: the parent is the tenant's own, and only its own
// delete takes the dependents with it.
func TestTarget_schemaOfTheStatement(t *testing.T) {
	t.Parallel()
	plain := open(t, postgres.Open(testservers.PostgresSchema(t)), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
	reg := bosses(t, plain)
	var schema string
	must(t, plain.Raw("SELECT current_schema() || '_b'").Scan(&schema).Error)
	must(t, plain.Exec("CREATE SCHEMA "+schema).Error)
	t.Cleanup(func() { plain.Exec("DROP SCHEMA " + schema + " CASCADE") })
	for _, table := range []string{"bosses", "helpers"} {
		must(t, plain.Exec("CREATE TABLE "+schema+"."+table+" (LIKE "+table+" INCLUDING ALL)").Error)
	}
	rec := &recorder{}
	db, _ := setup(t, plain, audit.Config{Registry: reg, Sink: rec})
	must(t, db.Create(&Boss{ID: 1, Name: "of tenant a"}).Error)
	must(t, db.Table(schema+".bosses").Create(&Boss{ID: 1, Name: "of tenant b"}).Error)
	rec.take()
	must(t, db.Table(schema+".helpers").Create(&Helper{ID: 1, BossID: 1}).Error)
	if r := rec.take(); len(r) != 1 || r[0].ObjectRepr != "of tenant b" {
		t.Errorf("the parent is that of another tenant:\n%s", lines(r))
	}
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Table(schema+".helpers").Delete(&Helper{}, 1).Error)
		return tx.Delete(&Boss{}, 1).Error
	}))
	if r := rec.take(); len(r) != 2 || r[0].ObjectRepr != "of tenant b" || r[1].ObjectRepr != "of tenant a" {
		t.Errorf("want two deletes:\n%s", lines(r))
	}
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Table(schema+".helpers").Create(&Helper{ID: 2, BossID: 1}).Error)
		must(t, tx.Table(schema+".helpers").Delete(&Helper{}, 2).Error)
		return tx.Table(schema+".bosses").Delete(&Boss{}, 1).Error
	}))
	if r := rec.take(); len(r) != 2 || fmt.Sprint(r[1].Extra) != "map[cascaded:map[helper:1]]" {
		t.Errorf("want one delete with one dependent:\n%s", lines(r))
	}
}

// Where a connection is held, the parent is read on it: the pool may have no other.
func TestTarget_connectionIsHeld_readsOnIt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := bosses(t, plain)
		pool, err := plain.DB()
		must(t, err)
		pool.SetMaxOpenConns(1)
		before := plain.WithContext(t.Context()) // knows nothing of the plugin
		rec := &recorder{}
		db, _ := setup(t, plain, audit.Config{Registry: reg, Sink: rec})
		must(t, db.Create(&Boss{ID: 1, Name: "b"}).Error)
		rec.take()
		alone := &gorm.Session{SkipDefaultTransaction: true}
		for name, f := range map[string]func() error{
			"connection": func() error {
				return db.Connection(func(c *gorm.DB) error { return c.Session(alone).Create(&Helper{BossID: 1}).Error })
			},
			"connection, with associations": func() error {
				return db.Connection(func(c *gorm.DB) error {
					must(t, c.Session(alone).Create(&Helper{ID: 77, BossID: 1}).Error)
					rec.take()
					return c.Session(alone).Select("Nothing").Delete(&Helper{ID: 77}).Error
				})
			},
			"transaction that has ended as text": func() error {
				tx := db.Begin()
				must(t, tx.Exec("COMMIT").Error)
				defer tx.Rollback()
				return tx.Create(&Helper{BossID: 1}).Error
			},
			"transaction that is not observed": func() error {
				tx := before.WithContext(db.Statement.Context).Begin()
				must(t, tx.Create(&Helper{BossID: 1}).Error)
				return tx.Commit().Error
			},
		} {
			done := make(chan error, 1)
			go func() { done <- f() }()
			select {
			case err := <-done:
				must(t, err)
			case <-time.After(time.Minute):
				t.Fatalf("%s: waits for a connection", name)
			}
			if r := rec.take(); len(r) != 1 || r[0].ObjectType != "boss" || r[0].ObjectRepr != "b" {
				t.Errorf("%s: want one record under the parent:\n%s", name, lines(r))
			}
		}
	})
}
