package audit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// TestNote_noBeforeImage_listsTheNewValues: an upsert meets a row that could not be looked up before, by a
// number that the sequence gives once more. The record has the row as it is now, and no old values.
func TestNote_noBeforeImage_listsTheNewValues(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[1].open(t), &gorm.Config{})
	reg := audit.NewRegistry()
	must(t, reg.Register(&Paper{}))
	db, rec := setup(t, plain, audit.Config{Registry: reg})
	must(t, db.Create(&Paper{ID: 1, Name: "by hand", DeletedBy: "-"}).Error)
	rec.take()
	upsert := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"name", "why"})}
	must(t, db.Clauses(upsert).Create(&Paper{Name: "by number", DeletedBy: "never", Why: "secret"}).Error)
	r := rec.only(t)
	want := map[string]string{
		"id": " -> 1", "name": ` -> "by number"`, "deleted_by": ` -> "-"`, "why": ` -> "[REDACTED]"`, "deleted_at": " -> null",
	}
	text, _ := r.ChangeMessage.Text()
	if diff := cmp.Diff(want, sides(r)); diff != "" || r.Action != event.ActionChange || r.ObjectID != "1" || text != event.TextModified || r.Extra[audit.ExtraNote] != "no before image" {
		t.Errorf("%s %s %q %v\n%s", r.Action, r.ObjectID, text, r.Extra, diff)
	}
	must(t, db.Model(&Paper{ID: 1}).Update("name", "next").Error)
	rec.expect(t, `CHANGE paper 1 "next" name:"by number"->"next"`)
}

// TestNote_unobserved_isInTheRecord: a session of before db.Use begins a transaction whose end nobody sees.
func TestNote_unobserved_isInTheRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		early := plain.WithContext(t.Context())
		reg := audit.NewRegistry()
		must(t, reg.Register(&Paper{}))
		_, rec := setup(t, plain, audit.Config{Registry: reg, Scope: audit.ScopeAll})
		tx := early.Begin()
		must(t, tx.Create(&Paper{ID: 1, Name: "plan"}).Error)
		must(t, tx.Model(&Paper{ID: 1}).Update("name", "b").Error)
		must(t, tx.Rollback().Error)
		records := rec.take()
		if len(records) != 2 {
			t.Fatalf("%d records", len(records))
		}
		for _, r := range records {
			if r.Extra[audit.ExtraNote] != "transaction not observed" || len(r.Changes) == 0 {
				t.Errorf("%s %v %v", r.Action, r.Extra, sides(r))
			}
		}
	})
}
