package capture_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
)

// Slot has as its key a part of the key that the table has.
type Slot struct {
	ID   int64 `gorm:"primaryKey;autoIncrement:false"`
	Team string
	V    int
}

// slots opens a database in which slots is made by the statements, with rows of two teams.
func slots(t *testing.T, d database, r *recorder, ddl ...string) *gorm.DB {
	t.Helper()
	db := d.open(t, &gorm.Config{})
	for _, q := range append(ddl, "INSERT INTO slots VALUES (1,'a',1), (1,'b',1), (2,'b',1)") {
		if err := db.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	r.register(t, db, &Slot{})
	d.install(t, db, r.hooks(), capture.Config{})
	return db
}

// A model with a part of the table's key as its own: the rows of others are not written, and the images
// are of the row itself.
func TestUpdate_keyOfTheModelIsNotUnique_writesAsWithoutAuditing(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string][]string{
		"key of two columns": {"CREATE TABLE slots (id bigint, team varchar(50) NOT NULL, v bigint, PRIMARY KEY (team, id))"},
		"no key":             {"CREATE TABLE slots (id bigint, team varchar(50), v bigint)"},
		"partial":            {"CREATE TABLE slots (id bigint NOT NULL, team text, v bigint)", "CREATE UNIQUE INDEX slots_id ON slots (id) WHERE team = 'a'"},
		"key with NULLs":     {"CREATE TABLE slots (id bigint, team varchar(50), v bigint)", "CREATE UNIQUE INDEX slots_id ON slots (id, team)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, d database) {
				if name == "partial" && d.dialect == "mysql" {
					return // there are no partial indexes
				}
				r := &recorder{}
				db := slots(t, d, r, ddl...)
				tx := db.Model(&Slot{}).Where("team = ? AND id = ?", "b", 1).Update("v", 5)
				if tx.Error != nil || tx.RowsAffected != 1 {
					t.Fatal(tx.Error, tx.RowsAffected)
				}
				tx = db.Model(&Slot{}).Where("id > 0").Update("v", gorm.Expr("v + 1"))
				if tx.Error != nil || tx.RowsAffected != 3 {
					t.Fatal(tx.Error, tx.RowsAffected)
				}
				var got []Slot
				if err := db.Order("team, id").Find(&got).Error; err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]Slot{{1, "a", 2}, {1, "b", 6}, {2, "b", 2}}, got); diff != "" {
					t.Error(diff)
				}
				ops := r.ops()
				slices.Sort(ops)
				if diff := cmp.Diff([]string{"update slots 1", "update slots 1", "update slots 1", "update slots 2"}, ops); diff != "" {
					t.Error(diff)
				}
				for _, c := range r.changes() {
					if c.Before["team"] != c.After["team"] {
						t.Errorf("images of two rows: %v", c)
					}
				}
			})
		})
	}
}

func TestUpsert_keyOfTheModelIsNotUnique(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := slots(t, d, r, "CREATE TABLE slots (id bigint, team varchar(50) NOT NULL, v bigint, PRIMARY KEY (team, id))")
		on := clause.OnConflict{Columns: []clause.Column{{Name: "team"}, {Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"v"})}
		if err := db.Clauses(on).Create(&[]Slot{{1, "b", 7}, {1, "a", 8}, {2, "a", 9}}).Error; err != nil {
			t.Fatal(err)
		}
		wantOps(t, r, "update slots 1", "update slots 1", "insert slots 2")
		for _, c := range r.changes()[:2] {
			if c.Before["team"] != c.After["team"] {
				t.Errorf("images of two rows: %v", c)
			}
		}
	})
}

// An upsert that changes the primary key is a change, not an added row.
func TestUpsert_changesThePrimaryKey(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Thing{})
		db.Create(&Thing{ID: 5, Code: "a", Kind: "x"})
		on := clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"id", "kind"})}
		if err := db.Clauses(on).Create(&[]Thing{{ID: 9, Code: "a", Kind: "y"}, {ID: 10, Code: "b"}}).Error; err != nil {
			t.Fatal(err)
		}
		wantOps(t, r, "insert things 5", "update things 9", "insert things 10")
		if c := r.changes()[1]; c.Before["id"] != "5" || c.Before["kind"] != "x" || c.After["kind"] != "y" {
			t.Error(c)
		}
	})
}

// The strict policy refuses, but the caller still sees what the database said.
func TestStrict_errorOfTheDatabase_isInTheChain(t *testing.T) {
	t.Parallel()
	r := &recorder{strict: true}
	db := setup(t, database{name: "postgres", open: openPostgres}, &gorm.Config{}, r, &item{})
	err := db.Model(&item{}).Where("id = 1").Update("nosuch", 1).Error
	var state interface{ SQLState() string }
	if !errors.Is(err, capture.ErrCapture) || !errors.As(err, &state) || state.SQLState() != "42703" {
		t.Error(err)
	}
}

// A view of SQLite that can be updated only.
func TestSQLite_viewWithATriggerForUpdatesOnly_runsAsItIs(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	d := database{name: "sqlite", open: openSQLite}
	db := d.open(t, &gorm.Config{})
	for _, q := range []string{
		"CREATE TABLE real_slots (id bigint PRIMARY KEY, team text, v bigint)", "INSERT INTO real_slots VALUES (1,'a',1)",
		"CREATE VIEW slots AS SELECT * FROM real_slots",
		"CREATE TRIGGER t INSTEAD OF UPDATE ON slots BEGIN UPDATE real_slots SET v = NEW.v WHERE id = NEW.id; END",
	} {
		if err := db.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	r.register(t, db, &Slot{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Model(&Slot{ID: 1}).Update("v", 7).Error; err != nil {
		t.Fatal(err)
	}
	var s Slot
	if err := db.First(&s).Error; err != nil || s.V != 7 || len(r.skipped) != 1 {
		t.Error(err, s, r.skipped)
	}
}

// PostgreSQL answers COMMIT after an error without one, and rolls back.
func TestCommitAsText_afterAnError_releasesNothing(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		r := &recorder{}
		db := setup(t, database{name: "postgres", open: openPostgres}, &gorm.Config{PrepareStmt: prepare}, r, &item{})
		tx := db.Begin()
		if err := tx.Create(&item{Name: "a"}).Error; err != nil {
			t.Fatal(err)
		}
		if tx.Exec("SELECT nothing FROM nowhere").Error == nil {
			t.Fatal("want an error")
		}
		if err := tx.Exec("COMMIT").Error; err != nil {
			t.Fatal(err)
		}
		tx.Rollback()
		if len(r.ops()) != 0 || r.discarded != 1 {
			t.Error(r.ops(), r.discarded)
		}
	}
}
