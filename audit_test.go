package audit_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

func TestChanges_valuesAndMessages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		c := Customer{
			Name: "Ada", Phone: "0987654321", Secret: "hush", Balance: "10.50", Active: true,
			Settings: map[string]any{"theme": "dark", "sizes": []int{1, 2}, "api_key": "k1"},
		}
		must(t, db.Create(&c).Error)
		add := rec.only(t)
		if text, _ := add.ChangeMessage.Text(); text != "Created new object" {
			t.Errorf("message %s", add.ChangeMessage.JSON())
		}
		got := map[string]string{}
		for _, ch := range add.Changes {
			if ch.Old != nil {
				t.Errorf("an ADD has an old value: %+v", ch)
			}
			got[ch.Field] = ch.Type + " " + string(ch.New)
		}
		for field, want := range map[string]string{
			"id": "integer 1", "name": `string "Ada"`, "secret": `string "[REDACTED]"`, "active": "boolean true", "deleted_at": "time null",
			"settings": `json {"api_key":"[REDACTED]","sizes":[1,2],"theme":"dark"}`,
		} {
			if got[field] != want {
				t.Errorf("%s is %s, want %s", field, got[field], want)
			}
		}
		if !strings.HasPrefix(got["balance"], `decimal "10.5`) {
			t.Errorf("balance is %s", got["balance"])
		}
		if _, ok := got["note"]; ok {
			t.Error("an excluded column is recorded")
		}

		// Everything that is not different, whatever it looks like.
		must(t, db.Model(&c).Updates(map[string]any{"phone": "0987654321", "note": "not recorded"}).Error)
		must(t, db.Save(&c).Error)
		rec.expect(t)

		c.Phone = "1234567890"
		c.Secret = "hush hush"
		c.Settings = map[string]any{"sizes": []int{1, 3}, "theme": "dark", "api_key": "k2", "new": nil}
		must(t, db.Save(&c).Error)
		change := rec.only(t)
		rows, ok := change.ChangeMessage.Rows()
		if !ok {
			t.Fatalf("message %s", change.ChangeMessage.JSON())
		}
		table := map[string]string{}
		for _, r := range rows {
			table[r.Field] = string(r.OldValue) + " " + string(r.NewValue)
		}
		for field, want := range map[string]string{
			"Phone number": `"0987654321" "1234567890"`, "secret": `"[REDACTED]" "[REDACTED]"`,
			"settings.sizes.1": "2 3", "settings.api_key": `"[REDACTED]" "[REDACTED]"`,
		} {
			if table[field] != want {
				t.Errorf("%s is %s, want %s; all: %v", field, table[field], want, table)
			}
		}
		for _, ch := range change.Changes {
			if ch.Redacted != (ch.Field == "secret" || ch.Field == "settings") {
				t.Errorf("redacted: %+v", ch)
			}
		}
		if data, _ := json.Marshal(change); strings.Contains(string(data), "hush") {
			t.Errorf("the secret is in %s", data)
		}

		must(t, db.Delete(&c).Error)
		del := rec.only(t)
		if text, _ := del.ChangeMessage.Text(); text != "Deleted object" || del.Action != audit.ActionDelete || del.Changes[0].New != nil || del.Changes[0].Old == nil {
			t.Errorf("soft delete %s %+v", line(del), del.Changes[0])
		}
		must(t, db.Unscoped().Model(&c).Update("deleted_at", nil).Error)
		restore := rec.only(t)
		if text, _ := restore.ChangeMessage.Text(); text != "Restored object" || restore.Action != audit.ActionRestore {
			t.Errorf("restore %s", line(restore))
		}
		must(t, db.Unscoped().Delete(&c).Error)
		rec.expect(t, `DELETE customer 1 "Ada"`)
	})
}

func TestTarget_dependentsAreLoggedUnderTheirParents(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		ann, bob := Employee{Name: "Ann"}, Employee{Name: "Bob"}
		must(t, db.Create(&ann).Error)
		must(t, db.Create(&bob).Error)
		rec.take()

		d := Dependent{EmployeeID: &ann.ID, FullName: "Kim"}
		must(t, db.Create(&d).Error)
		rec.expect(t, `ADD employee 1 "Ann" from dependent 1 "dependent Kim"`)
		must(t, db.Model(&d).Update("full_name", "Kim B").Error)
		rec.expect(t, `CHANGE employee 1 "Ann" from dependent 1 "dependent Kim B" full_name:"Kim"->"Kim B"`)

		// Two hops away.
		toy := Toy{Name: "car", DependentID: d.ID}
		must(t, db.Create(&toy).Error)
		rec.expect(t, `ADD employee 1 "Ann" from toy 1 "car"`)

		// The move is in both histories.
		must(t, db.Model(&d).Update("employee_id", bob.ID).Error)
		rec.expect(t, `CHANGE employee 1 "Ann" from dependent 1 "dependent Kim B" employee_id:1->2`,
			`CHANGE employee 2 "Bob" from dependent 1 "dependent Kim B" employee_id:1->2`)
		must(t, db.Model(&toy).Update("name", "red car").Error)
		rec.expect(t, `CHANGE employee 2 "Bob" from toy 1 "red car" name:"car"->"red car"`)

		// Without a parent it stands for itself.
		must(t, db.Model(&d).Update("employee_id", nil).Error)
		rec.expect(t, `CHANGE employee 2 "Bob" from dependent 1 "dependent Kim B" employee_id:2->null`)
		must(t, db.Model(&d).Update("full_name", "Kim").Error)
		rec.expect(t, `CHANGE dependent 1 "dependent Kim" full_name:"Kim B"->"Kim"`)
		must(t, db.Delete(&toy).Error)
		rec.expect(t, `DELETE dependent 1 "dependent Kim" from toy 1 "red car"`)
	})
}

func TestCascade_oneDeleteOneRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		seed := func() (Employee, Employee) {
			a := Employee{Name: "Ann", Dependents: []Dependent{{FullName: "Kim", Toys: []Toy{{Name: "car"}, {Name: "kite"}}}, {FullName: "Lee"}}}
			b := Employee{Name: "Bob", Dependents: []Dependent{{FullName: "Max"}}}
			must(t, db.Create(&a).Error)
			must(t, db.Create(&b).Error)
			rec.take()
			return a, b
		}
		a, _ := seed()
		must(t, db.Unscoped().Select("Dependents").Delete(&Employee{ID: a.ID}).Error)
		// The toys are orphans now, and nobody deleted them.
		rec.expect(t, `DELETE employee 1 "Ann" cascaded:map[dependent:2]`)

		a, b := seed()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Unscoped().Delete(&Employee{}, a.ID).Error)
			for _, d := range a.Dependents {
				must(t, tx.Where("dependent_id = ?", d.ID).Delete(&Toy{}).Error)
				must(t, tx.Delete(&Dependent{}, d.ID).Error)
			}
			return tx.Delete(&b.Dependents[0]).Error // of another parent: stays
		}))
		got := rec.take()
		if l := lines(got); !strings.Contains(l, `DELETE employee 3 "Ann" cascaded:map[dependent:2 toy:2]`) || !strings.Contains(l, `DELETE employee 4 "Bob" from dependent`) || len(got) != 2 {
			t.Errorf("records:\n%s", l)
		}
		if s := audit.From(db).Stats(); s.Suppressed != 6 {
			t.Errorf("suppressed %d, want 6", s.Suppressed)
		}

		// A parent that is brought back suppresses nothing either.
		a, _ = seed()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&a).Error)
			must(t, tx.Delete(&a.Dependents[1]).Error)
			return tx.Unscoped().Model(&Employee{ID: a.ID}).Update("deleted_at", nil).Error
		}))
		if got := rec.take(); len(got) != 3 || got[1].SourceModel != "dependent" || got[2].Action != audit.ActionRestore {
			t.Errorf("records:\n%s", lines(got))
		}

		// A parent whose deletion is taken back suppresses nothing.
		a, _ = seed()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&a.Dependents[1]).Error)
			_ = tx.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Unscoped().Delete(&Toy{}, "1=1").Error)
				must(t, tx.Select("Dependents").Delete(&a).Error)
				return errors.New("undone")
			})
			return nil
		}))
		rec.expect(t, `DELETE employee 7 "Ann" from dependent 11 "dependent Lee"`)
	})
}
