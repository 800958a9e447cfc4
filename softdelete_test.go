package audit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// Paper says by whom and why it was deleted.
type Paper struct {
	ID        uint
	Name      string
	DeletedBy string
	Why       string `audit:"mask"`
	DeletedAt gorm.DeletedAt
}

// sides gives the values that a record has of its columns, the new ones behind an arrow.
func sides(r event.Record) map[string]string {
	out := map[string]string{}
	for _, c := range r.Changes {
		s := ""
		if c.Old != nil {
			s += " " + string(c.Old)
		}
		if c.New != nil {
			s += " -> " + string(c.New)
		}
		out[c.Field] = s
	}
	return out
}

// TestSoftDelete_withOtherColumns: the record of a row that is marked as deleted has the row as it was, and
// beside it what the same statement changed; what comes next begins with that.
func TestSoftDelete_withOtherColumns(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const stamp = `"2026-01-02T03:04:05Z"`
	for name, c := range map[string]struct {
		act  func(db *gorm.DB) error
		want map[string]string
	}{
		"map": {
			func(db *gorm.DB) error {
				return db.Model(&Paper{ID: 1}).Updates(map[string]any{"deleted_at": at, "deleted_by": "ada", "why": "leak"}).Error
			},
			map[string]string{"id": " 1", "name": ` "plan"`, "deleted_by": ` "" -> "ada"`, "why": ` "[REDACTED]" -> "[REDACTED]"`, "deleted_at": " null -> " + stamp},
		},
		"struct": {
			func(db *gorm.DB) error {
				return db.Model(&Paper{ID: 1}).Updates(Paper{DeletedAt: gorm.DeletedAt{Time: at, Valid: true}, DeletedBy: "ada"}).Error
			},
			map[string]string{"id": " 1", "name": ` "plan"`, "deleted_by": ` "" -> "ada"`, "why": ` "[REDACTED]"`, "deleted_at": " null -> " + stamp},
		},
		"save": {
			func(db *gorm.DB) error {
				return db.Save(&Paper{ID: 1, Name: "burnt", DeletedAt: gorm.DeletedAt{Time: at, Valid: true}}).Error
			},
			map[string]string{"id": " 1", "name": ` "plan" -> "burnt"`, "deleted_by": ` ""`, "why": ` "[REDACTED]" -> "[REDACTED]"`, "deleted_at": " null -> " + stamp},
		},
		"delete": {
			func(db *gorm.DB) error {
				db = db.Session(&gorm.Session{NowFunc: func() time.Time { return at }})
				return db.Delete(&Paper{ID: 1}).Error
			},
			map[string]string{"id": " 1", "name": ` "plan"`, "deleted_by": ` ""`, "why": ` "[REDACTED]"`, "deleted_at": " null -> " + stamp},
		},
		"for good": {
			func(db *gorm.DB) error { return db.Unscoped().Delete(&Paper{ID: 1}).Error },
			map[string]string{"id": " 1", "name": ` "plan"`, "deleted_by": ` ""`, "why": ` "[REDACTED]"`, "deleted_at": " null"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, plain *gorm.DB) {
				reg := audit.NewRegistry()
				must(t, reg.Register(&Paper{}))
				db, rec := setup(t, plain, audit.Config{Registry: reg})
				must(t, db.Create(&Paper{ID: 1, Name: "plan"}).Error)
				must(t, db.Model(&Paper{ID: 1}).UpdateColumn("why", "w").Error)
				rec.take()
				must(t, c.act(db))
				r := rec.only(t)
				text, _ := r.ChangeMessage.Text()
				if diff := cmp.Diff(c.want, sides(r)); diff != "" || r.Action != event.ActionDelete || text != event.TextDeleted || len(r.ChangedFields) != len(c.want) {
					t.Errorf("%s %q %v\n%s", r.Action, text, r.ChangedFields, diff)
				}
				if name == "for good" {
					return
				}
				must(t, db.Unscoped().Model(&Paper{ID: 1}).Updates(map[string]any{"deleted_at": nil, "deleted_by": "bob"}).Error)
				back := rec.only(t)
				for _, ch := range back.Changes {
					was := event.Change{}
					for _, old := range r.Changes {
						if old.Field == ch.Field {
							was = old
						}
					}
					if was.New == nil {
						was.New = was.Old
					}
					if string(ch.Old) != string(was.New) {
						t.Errorf("%s was left as %s and begins as %s", ch.Field, was.New, ch.Old)
					}
				}
				if back.Action != event.ActionRestore || len(back.Changes) != 2 {
					t.Errorf("%s %v", back.Action, sides(back))
				}
			})
		})
	}
}
