package audit_test

import (
	"errors"
	"slices"
	"sort"
	"strings"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/testservers"
)

// TestTarget_movedWhileParentsGo: a child changes its parent in the transaction in which one of the two is
// deleted, or itself, or both. Each history says what happened to its own, and one delete is one record.
func TestTarget_movedWhileParentsGo(t *testing.T) {
	t.Parallel()
	type act func(tx *gorm.DB) error
	move := func(to any) act {
		return func(tx *gorm.DB) error { return tx.Model(&Helper{ID: 1}).Update("boss_id", to).Error }
	}
	boss := func(id uint) act { return func(tx *gorm.DB) error { return tx.Delete(&Boss{ID: id}).Error } }
	child := func(tx *gorm.DB) error { return tx.Delete(&Helper{ID: 1}).Error }
	moved := []string{`CHANGE boss 1 "A" from helper 1 "h" boss_id:1->2`, `CHANGE boss 2 "B" from helper 1 "h" boss_id:1->2`}
	for _, c := range []struct {
		name string
		acts []act
		want []string
	}{
		{"moves, the old one goes", []act{move(2), boss(1)}, append([]string{`DELETE boss 1 "A"`}, moved...)},
		{"the old one goes, then it moves", []act{boss(1), move(2)}, append([]string{`DELETE boss 1 "A"`}, moved...)},
		{"moves, the new one goes with it", []act{move(2), child, boss(2)}, append([]string{`DELETE boss 2 "B" cascaded:map[helper:1]`}, moved...)},
		{"the new one goes first", []act{move(2), boss(2), child}, append([]string{`DELETE boss 2 "B" cascaded:map[helper:1]`}, moved...)},
		{"moves and goes, the old one goes too", []act{move(2), child, boss(1)}, append([]string{`DELETE boss 1 "A"`, `DELETE boss 2 "B" from helper 1 "h"`}, moved...)},
		{"there and back again, its own goes with it", []act{move(2), move(1), child, boss(1)}, append([]string{
			`DELETE boss 1 "A" cascaded:map[helper:1]`, `CHANGE boss 1 "A" from helper 1 "h" boss_id:2->1`, `CHANGE boss 2 "B" from helper 1 "h" boss_id:2->1`,
		}, moved...)},
		{"both go, without it", []act{move(2), boss(1), boss(2)}, append([]string{`DELETE boss 1 "A"`, `DELETE boss 2 "B"`}, moved...)},
		{"both go, with it", []act{move(2), boss(2), child, boss(1)}, append([]string{`DELETE boss 1 "A"`, `DELETE boss 2 "B" cascaded:map[helper:1]`}, moved...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, plain *gorm.DB) {
				db, rec := setup(t, plain, audit.Config{Registry: bosses(t, plain)})
				must(t, db.Create(&[]Boss{{ID: 1, Name: "A"}, {ID: 2, Name: "B"}}).Error)
				must(t, db.Create(&Helper{ID: 1, Name: "h", BossID: 1}).Error)
				rec.take()
				must(t, db.Transaction(func(tx *gorm.DB) error {
					for _, a := range c.acts {
						must(t, a(tx))
					}
					return nil
				}))
				got := strings.Split(strings.TrimSpace(lines(rec.take())), "\n")
				want := slices.Clone(c.want)
				sort.Strings(got)
				sort.Strings(want)
				if !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		})
	}
}

// Project has issues, and issues and boards have attachments.
type Project struct {
	ID     uint
	Name   string
	Issues []Issue
}

type Issue struct {
	ID          uint
	Name        string
	ProjectID   uint
	Attachments []Attachment `gorm:"polymorphic:Owner"`
}

type Board struct {
	ID          uint
	Name        string
	Attachments []Attachment `gorm:"polymorphic:Owner;polymorphicValue:board"`
}

type Attachment struct {
	ID        uint
	Name      string
	OwnerID   uint
	OwnerType string
}

// TestTarget_polymorphicOwnersOfSeveralTypes: a row is logged under whichever of the targets its type column
// names, and through it under that one's own target.
func TestTarget_polymorphicOwnersOfSeveralTypes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Attachment{}, audit.Target(&Board{}), audit.Target("issue")))
		must(t, reg.Register(&Issue{}, audit.Target(&Project{})))
		must(t, reg.Register(&Project{}))
		must(t, reg.Register(&Board{}))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		p := Project{Name: "moon", Issues: []Issue{{Name: "leak", Attachments: []Attachment{{Name: "photo"}}}}}
		must(t, db.Create(&p).Error)
		b := Board{Name: "kanban", Attachments: []Attachment{{Name: "sketch"}}}
		must(t, db.Create(&b).Error)
		rec.expect(t, `ADD project 1 "moon"`, `ADD project 1 "moon" from issue 1 "leak"`, `ADD project 1 "moon" from attachment 1 "photo"`,
			`ADD board 1 "kanban"`, `ADD board 1 "kanban" from attachment 2 "sketch"`)
		// From the issue to the board: it is in both histories, that of the issue being the project's.
		must(t, db.Model(&Attachment{ID: 1}).Updates(map[string]any{"owner_id": b.ID, "owner_type": "board"}).Error)
		rec.expect(t, `CHANGE project 1 "moon" from attachment 1 "photo" owner_type:"issues"->"board"`, `CHANGE board 1 "kanban" from attachment 1 "photo" owner_type:"issues"->"board"`)
		// Of an owner that is no target it is its own.
		must(t, db.Create(&Attachment{Name: "loose", OwnerID: 1, OwnerType: "projects"}).Error)
		rec.expect(t, `ADD attachment 3 "loose"`)
		// The board takes its own with it, and not that of the issue with the same number.
		must(t, db.Create(&Attachment{Name: "log", OwnerID: 1, OwnerType: "issues"}).Error)
		rec.take()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Where("name IN ?", []string{"photo", "sketch", "log"}).Delete(&Attachment{}).Error)
			return tx.Delete(&b).Error
		}))
		rec.expect(t, `DELETE project 1 "moon" from attachment 4 "log"`, `DELETE board 1 "kanban" cascaded:map[attachment:2]`)
		// A chain over the polymorphic owner.
		must(t, db.Create(&Attachment{Name: "end", OwnerID: 1, OwnerType: "issues"}).Error)
		rec.take()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&p).Error)
			must(t, tx.Where("name = ?", "end").Delete(&Attachment{}).Error)
			return tx.Delete(&Issue{ID: 1}).Error
		}))
		rec.expect(t, `DELETE project 1 "moon" cascaded:map[attachment:1 issue:1]`)
	})
}

func TestTarget_severalMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		register func(r *audit.Registry) error
		want     string
	}{
		{func(r *audit.Registry) error {
			return r.Register(&Helper{}, audit.Target(&Boss{}), audit.Target(&Boss{}))
		}, "no type column that says to which of them a row belongs"},
		{func(r *audit.Registry) error {
			_ = r.Register(&Board{})
			return r.Register(&Attachment{}, audit.Target(&Board{}), audit.Target("board"))
		}, "board is named twice"},
		{func(r *audit.Registry) error { return r.Register(&Helper{}, audit.Target(&Boss{}, "BossID", "ID")) }, "the foreign key has 2 fields (BossID, ID), want one for each of the 1 of its primary key"},
		{func(r *audit.Registry) error { return r.Register(&Helper{}, audit.Target(&Boss{}, "Chief")) }, `no relation or foreign key "Chief"`},
	} {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Boss{}))
		must(t, c.register(reg))
		err := open(t, openers[0].open(t), &gorm.Config{}).Use(audit.New(audit.Config{Registry: reg, Sink: &recorder{}}))
		if !errors.Is(err, audit.ErrRegistration) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// Seal points at an order by fields that no association declares.
type Seal struct {
	ID   uint
	Shop string
	No   int
}

func TestTarget_compositeForeignKeyByName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Order{}))
		must(t, reg.Register(&Seal{}, audit.Target(&Order{}, "shop", "No")))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		must(t, db.Create(&[]Order{{Shop: "s", Number: 7, Code: "c7"}, {Shop: "s", Number: 8, Code: "c8"}}).Error)
		rec.take()
		must(t, db.Create(&Seal{Shop: "s", No: 7}).Error)
		must(t, db.Model(&Seal{ID: 1}).Update("no", 8).Error)
		rec.expect(t, `ADD order s,7 "c7" from seal 1 "seal 1"`, `CHANGE order s,7 "c7" from seal 1 "seal 1" no:7->8`, `CHANGE order s,8 "c8" from seal 1 "seal 1" no:7->8`)
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&Order{Shop: "s", Number: 7}).Error)
			must(t, tx.Delete(&Seal{ID: 1}).Error)
			return tx.Delete(&Order{Shop: "s", Number: 8}).Error
		}))
		rec.expect(t, `DELETE order s,7 "c7"`, `DELETE order s,8 "c8" cascaded:map[seal:1]`)
	})
}

// elsewhere is the database schema of Office, made by the one test that uses it.
var elsewhere string

// Office is in a schema of its own, its desks are not.
type Office struct {
	ID   uint
	Name string
}

func (Office) TableName() string { return elsewhere + ".offices" }

type Desk struct {
	ID       uint
	OfficeID uint
}

// TestTarget_parentInAnotherSchema: its model names the schema, whatever the statement for the child names.
func TestTarget_parentInAnotherSchema(t *testing.T) {
	t.Parallel()
	plain := open(t, postgres.Open(testservers.PostgresSchema(t)), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
	var own string
	must(t, plain.Raw("SELECT current_schema()").Scan(&own).Error)
	elsewhere = own + "_offices"
	must(t, plain.Exec("CREATE SCHEMA "+elsewhere).Error)
	t.Cleanup(func() { plain.Exec("DROP SCHEMA " + elsewhere + " CASCADE") })
	reg := audit.NewRegistry()
	must(t, reg.Register(&Office{}))
	must(t, reg.Register(&Desk{}, audit.Target(&Office{})))
	db, rec := setup(t, plain, audit.Config{Registry: reg})
	must(t, db.Create(&[]Office{{Name: "north"}, {Name: "south"}}).Error)
	rec.take()
	must(t, db.Create(&Desk{OfficeID: 1}).Error)
	must(t, db.Table(own+".desks").Where("id = 1").Update("office_id", 2).Error)
	rec.expect(t, `ADD office 1 "north" from desk 1 "desk 1"`, `CHANGE office 1 "north" from desk 1 "desk 1" office_id:1->2`, `CHANGE office 2 "south" from desk 1 "desk 1" office_id:1->2`)
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Table(own+".desks").Delete(&Desk{ID: 1}).Error)
		return tx.Delete(&Office{ID: 2}).Error
	}))
	rec.expect(t, `DELETE office 2 "south" cascaded:map[desk:1]`)
	// What goes past the trail is counted under the model's table, and so is the report.
	must(t, db.Exec("UPDATE "+elsewhere+".offices SET name = 'x'").Error)
	coverage, err := reg.Coverage(db)
	must(t, err)
	if m := coverage.Models; len(m) != 2 || m[1].Table != elsewhere+".offices" || m[1].Skipped["raw SQL"] != 1 {
		t.Errorf("%+v", m)
	}
}
