package capture_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/testservers"
)

// Callbacks of the application that add a condition, in front of ours and behind it.
func TestCallback_addsACondition_isFollowed(t *testing.T) {
	t.Parallel()
	tenant := func(db *gorm.DB) { db.Where("amount > ?", 5) }
	for name, behind := range map[string]bool{"before": false, "behind": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, d database) {
				r := &recorder{}
				db := d.open(t, &gorm.Config{})
				if err := db.AutoMigrate(&Order{}); err != nil {
					t.Fatal(err)
				}
				r.register(t, db, &Order{})
				if behind {
					d.install(t, db, r.hooks(), capture.Config{})
				}
				for _, err := range []error{
					db.Callback().Update().Before("gorm:update").Register("tenant", tenant),
					db.Callback().Delete().Before("gorm:delete").Register("tenant", tenant),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				if !behind {
					d.install(t, db, r.hooks(), capture.Config{})
				}
				db.Create(&[]Order{{ID: 1, Amount: 1}, {ID: 2, Amount: 10}, {ID: 3, Amount: 20}})
				r.reset()
				for _, tx := range []*gorm.DB{
					db.Model(&Order{}).Where("id < ?", 3).Update("title", "x"),
					db.Where("id <> ?", 2).Delete(&Order{}),
				} {
					if tx.Error != nil || tx.RowsAffected != 1 {
						t.Error(tx.Error, tx.RowsAffected)
					}
				}
				wantOps(t, r, "update orders 2", "delete orders 3")
			})
		})
	}
}

// found is a model that counts how often it was read.
type found struct {
	ID   uint
	Name string
}

type hits struct {
	mu sync.Mutex
	n  int
}

type hitsKey struct{}

func (f *found) AfterFind(tx *gorm.DB) error {
	h := tx.Statement.Context.Value(hitsKey{}).(*hits) //nolint:forcetypeassert // the test gives it
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	return nil
}

// Images are read by plain SQL: hooks of the model see nothing of it.
func TestImages_doNotRunAfterFind(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		h := &hits{}
		db := setup(t, d, &gorm.Config{}, r, &found{}).WithContext(context.WithValue(t.Context(), hitsKey{}, h))
		db.Create(&found{ID: 1})
		db.Model(&found{ID: 1}).Update("name", "a")
		db.Save(&found{ID: 1, Name: "b"})
		db.Save(&[]found{{ID: 1, Name: "c"}, {ID: 2}})
		db.Where("id > 0").Delete(&found{})
		if h.n != 0 {
			t.Errorf("AfterFind ran %d times", h.n)
		}
		if got := len(r.ops()); got != 7 {
			t.Error(r.ops())
		}
		var f found
		db.Create(&found{ID: 3})
		if err := db.First(&f).Error; err != nil || h.n != 1 {
			t.Error(err, h.n)
		}
	})
}

// An update of the parent that is still open does not keep others from adding children.
func TestPostgres_parentIsUpdated_childrenMayBeAdded(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		"CREATE TABLE companies (id bigserial PRIMARY KEY, name text)",
		"CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint REFERENCES companies)",
		"INSERT INTO companies (name) VALUES ('a')",
	}, &Company{})
	tx := db.Begin()
	for range 2 { // the first of its kind runs behind a savepoint
		if err := tx.Model(&Company{ID: 1}).UpdateColumn("name", gorm.Expr("name || 'b'")).Error; err != nil {
			t.Fatal(err)
		}
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		return errors.Join(tx.Exec("SET LOCAL lock_timeout = '10s'").Error, tx.Exec("INSERT INTO orders (customer_id) VALUES (1)").Error)
	})
	if err != nil {
		t.Error(err)
	}
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	wantOps(t, r, "update companies 1", "update companies 1")
}

// A migration makes the plans of prepared statements invalid.
func TestPostgres_migration_invalidatesPlans(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*gorm.Config{"default": {}, "prepared": {PrepareStmt: true}, "skip": {PrepareStmt: true, SkipDefaultTransaction: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			db := openPostgres(t, cfg)
			if err := db.Exec(thingsDDL).Error; err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Thing{})
			if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
				t.Fatal(err)
			}
			other := open(t, postgres.Open(db.Dialector.(*postgres.Dialector).DSN), &gorm.Config{}) //nolint:forcetypeassert // openPostgres
			update := func(n int) error { return db.Model(&Thing{}).Where("code = ?", "a").Update("rank", n).Error }
			db.Create(&Thing{Code: "a"})
			for n := range 3 {
				if err := update(n); err != nil {
					t.Fatal(err)
				}
			}
			for _, q := range []string{"ALTER TABLE things ADD COLUMN more text", "ALTER TABLE things ALTER COLUMN kind TYPE varchar(50)", "ALTER TABLE things ALTER COLUMN rate TYPE float8"} {
				if err := other.Exec(q).Error; err != nil {
					t.Fatal(err)
				}
			}
			failed := 0
			for n := range 6 {
				if err := update(10 + n); err != nil {
					t.Log(err)
					failed++
				}
			}
			if failed > 1 {
				t.Errorf("%d writes fail", failed)
			}
			r.reset()
			for n := range 3 {
				if err := update(20 + n); err != nil {
					t.Error(err)
				}
			}
			wantOps(t, r, "update things 1", "update things 1", "update things 1")
		})
	}
}

// Row level security may hide the row that was just written, which its own RETURNING may not show.
func TestPostgres_rowLevelSecurity_runsAsItIs(t *testing.T) {
	t.Parallel()
	dsn := testservers.PostgresSchema(t)
	admin := open(t, postgres.Open(dsn), &gorm.Config{})
	role := testservers.Name(t, "t_role_")
	for _, q := range []string{
		"CREATE TABLE pairs (a bigint, b text, v bigint, PRIMARY KEY (a, b))",
		"CREATE ROLE " + role, `DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ` + role + `', current_schema()); END $$`,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON pairs TO " + role,
		"ALTER TABLE pairs ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY p_write ON pairs FOR INSERT WITH CHECK (true)",
		"CREATE POLICY p_read ON pairs FOR SELECT USING (v < 100)",
		"CREATE POLICY p_update ON pairs FOR UPDATE USING (true) WITH CHECK (true)",
	} {
		if err := admin.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	t.Cleanup(func() {
		if err := admin.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role).Error; err != nil {
			t.Error(err)
		}
	})
	r := &recorder{}
	db := open(t, postgres.Open(dsn+" role="+role), &gorm.Config{})
	r.register(t, db, &Pair{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	create := func(db *gorm.DB) (err error) {
		for _, p := range []Pair{{A: 1, B: "seen", V: 1}, {A: 2, B: "hidden", V: 500}, {A: 3, B: "hidden", V: 500}, {A: 4, B: "hidden", V: 500}, {A: 5, B: "seen", V: 2}} {
			err = errors.Join(err, db.Create(&p).Error)
		}
		return err
	}
	for name, f := range map[string]func(db *gorm.DB) error{
		"default":     create,
		"transaction": func(db *gorm.DB) error { return db.Transaction(create) },
		"skip":        func(db *gorm.DB) error { return create(db.Session(&gorm.Session{SkipDefaultTransaction: true})) },
	} {
		r.reset()
		if err := admin.Exec("DELETE FROM pairs").Error; err != nil {
			t.Fatal(err)
		}
		if err := f(db); err != nil {
			t.Error(name, err)
		}
		var n int64
		if admin.Model(&Pair{}).Count(&n); n != 5 {
			t.Errorf("%s: %d rows", name, n)
		}
		wantOps(t, r, "insert pairs 1 seen", "insert pairs 5 seen")
		if want := []string{capture.ReasonUnread, capture.ReasonUnread, capture.ReasonUnread}; !cmp.Equal(want, r.skipped) {
			t.Error(name, r.skipped)
		}
	}
}

// What a trigger changes in front of a soft delete is in the images.
func TestPostgres_softDeleteWithTrigger(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		"CREATE TABLE items (id bigserial PRIMARY KEY, name text, count bigint, deleted_at timestamptz)",
		"CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN NEW.count := OLD.count + 100; RETURN NEW; END $$ LANGUAGE plpgsql",
		"CREATE TRIGGER t BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION f()",
	}, &item{})
	db.Create(&item{Name: "a", Count: 1})
	db.Delete(&item{ID: 1})
	wantOps(t, r, "insert items 1", "softdelete items 1")
	if c := r.changes()[1]; c.Before["count"] != "1" || c.After["count"] != "101" || c.Before["deleted_at"] != "NULL" || c.After["deleted_at"] == "NULL" {
		t.Error(c)
	}
}

// A lock wait timeout undoes its statement, and nothing else of the transaction.
func TestMySQL_lockWaitTimeout_undoesItsStatement(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*gorm.Config{"plain": {}, "prepared": {PrepareStmt: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachMySQL(t, func(t *testing.T, d database) {
				r := &recorder{}
				db := setup(t, d, cfg, r, &Order{})
				db.Create(&[]Order{{ID: 1}, {ID: 2}, {ID: 3}})
				r.reset()
				other := db.Begin()
				if err := amount(other, 2, 20); err != nil {
					t.Fatal(err)
				}
				tx := db.Begin()
				tx.Exec("SET innodb_lock_wait_timeout = 1")
				if err := amount(tx, 1, 10); err != nil {
					t.Fatal(err)
				}
				for _, err := range []error{
					amount(tx, 2, 10), tx.Delete(&Order{ID: 2}).Error, tx.Save(&Order{ID: 2, Amount: 9}).Error,
				} {
					if err == nil || !strings.Contains(err.Error(), "1205") {
						t.Error(err)
					}
				}
				if err := amount(tx, 3, 10); err != nil {
					t.Error(err)
				}
				if err := errors.Join(tx.Commit().Error, other.Rollback().Error); err != nil {
					t.Error(err)
				}
				wantOps(t, r, "update orders 1", "update orders 3")
				var got []int
				db.Model(&Order{}).Order("id").Pluck("amount", &got)
				if !cmp.Equal([]int{10, 0, 10}, got) {
					t.Error(got)
				}
			})
		})
	}
}

// GORM logs each callback that is replaced.
func TestInstall_logsNothing(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := &recorder{}
	db := openSQLite(t, &gorm.Config{})
	db.Config.Logger = logger.New(log.New(&b, "", 0), logger.Config{LogLevel: logger.Info})
	r.register(t, db, &item{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 0 {
		t.Error(b.String())
	}
	db.Exec("SELECT 1")
	if b.Len() == 0 {
		t.Error("the handle has lost its logger")
	}
}

// Nest and Egg look into their statements.
type Nest struct {
	ID   uint
	Eggs []Egg
}

type Egg struct {
	ID     uint
	NestID uint
}

type settingsKey struct{}

func (*Egg) BeforeDelete(tx *gorm.DB) error { return seeSettings(tx) }
func (*Egg) BeforeSave(tx *gorm.DB) error   { return seeSettings(tx) }

func seeSettings(tx *gorm.DB) error {
	names := tx.Statement.Context.Value(settingsKey{}).(*[]string) //nolint:forcetypeassert // the test gives it
	tx.Statement.Settings.Range(func(k, _ any) bool {
		if s, ok := k.(string); ok && strings.Contains(s, "audit") {
			*names = append(*names, s)
		}
		return true
	})
	return nil
}

// What we keep with a statement is not seen by the statements that it makes.
func TestSettings_doNotLeakIntoNestedStatements(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*gorm.Config{"default": {}, "skip": {SkipDefaultTransaction: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, d database) {
				r := &recorder{}
				var names []string
				db := setup(t, d, cfg, r, &Nest{}, &Egg{}).WithContext(context.WithValue(t.Context(), settingsKey{}, &names))
				n := Nest{ID: 1, Eggs: []Egg{{ID: 1}, {ID: 2}}}
				if err := errors.Join(db.Create(&n).Error, db.Save(&n).Error, db.Select("Eggs").Delete(&n).Error); err != nil {
					t.Fatal(err)
				}
				if len(names) > 0 {
					t.Error(names)
				}
				ops := r.ops()
				slices.Sort(ops)
				if want := []string{"delete eggs 1", "delete eggs 2", "delete nests 1", "insert eggs 1", "insert eggs 2", "insert nests 1"}; !cmp.Equal(want, ops) {
					t.Error(ops)
				}
			})
		})
	}
}
