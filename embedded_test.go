package audit_test

import (
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

func TestPlugin_embeddedStore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := company(t)
		must(t, plain.AutoMigrate(reg.Models()...))
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Service: "crm"})))
		db := plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7", Username: "john.doe"}))

		c := Customer{Name: "Ada", Phone: "1", Secret: "hush"}
		must(t, db.Create(&c).Error)
		must(t, db.Model(&c).Update("phone", "2").Error)
		must(t, db.Delete(&c).Error)
		undone := errors.New("undone")
		err := db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Customer{Name: "Nobody"}).Error)
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}

		trail, err := sqlstore.New(plain, sqlstore.Config{SkipMigrate: true})
		must(t, err)
		page, err := trail.Search(t.Context(), store.Query{Ascending: true, Filters: noSelf}.WithDefaults())
		must(t, err)
		want := `ADD customer 1 "Ada"
CHANGE customer 1 "Ada" phone:"1"->"2"
DELETE customer 1 "Ada"
`
		if got := lines(page.Records); got != want {
			t.Errorf("records:\n%swant:\n%s", got, want)
		}
		for _, r := range page.Records {
			if r.Username != "john.doe" || r.UserID != "7" || r.ActorType != "user" || r.Service != "crm" || r.Table != "customers" || r.TxID == "" {
				t.Errorf("record %+v", r)
			}
			hash, err := event.ContentHash(r)
			if err != nil || hash != r.RecordHash {
				t.Errorf("hash of %s is %s, want %s (%v)", r.LogID, r.RecordHash, hash, err)
			}
		}
		s := audit.From(db).Stats()
		if s.Emitted != 3 || s.Discarded != 1 || s.Failed != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}
