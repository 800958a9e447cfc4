package audit_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

func TestCoverage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		if _, err := reg.Coverage(plain); !errors.Is(err, audit.ErrNotInstalled) {
			t.Errorf("without plugin: %v", err)
		}
		must(t, reg.Register(&Customer{}))
		must(t, reg.Register(&Article{}, audit.TrackRelation("Tags")))
		must(t, plain.AutoMigrate(&Customer{}, &Article{}, &Category2{}, &Person{}))
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Logger: slog.New(slog.DiscardHandler)})))
		db := plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"}))
		must(t, db.Create(&Customer{Name: "Ada"}).Error)
		must(t, plain.Create(&Customer{Name: "no context"}).Error)
		must(t, db.Exec("UPDATE customers SET name = ? WHERE id = 1", "Bob").Error)
		must(t, plain.Exec(`DELETE FROM "customers" WHERE id = 2`).Error)
		must(t, db.Create(&Category2{Name: "tea"}).Error)
		must(t, db.Table("category2").Where("1 = 1").Update("name", "coffee").Error)
		must(t, db.Exec("DELETE FROM category2").Error)

		must(t, plain.Migrator().AlterColumn(&Category2{}, "Name")) // SQLite rebuilds the table
		c, err := reg.Coverage(db)
		must(t, err)
		var got []string
		for _, m := range c.Models {
			got = append(got, fmt.Sprint(m.AppLabel, ".", m.ModelName, " ", m.Table, " ", m.Skipped))
		}
		if want := `[audit_test.article articles map[] audit_test.customer customers map[no audit context:1 raw SQL:2]]`; fmt.Sprint(got) != want {
			t.Errorf("models %v\nwant   %s", got, want)
		}
		// The store's own tables and the tracked join table are not among them.
		if got, want := fmt.Sprint(c.Unaudited), "[{article_authors 0} {article_related 0} {authors 0} {category2 3} {people 0} {tags 0}]"; got != want {
			t.Errorf("unaudited %s\nwant      %s", got, want)
		}
		if _, err := audit.NewRegistry().Coverage(db); !errors.Is(err, audit.ErrConfig) {
			t.Errorf("another registry: %v", err)
		}
	})
}

// TestBypass_isRecordedOnRequest: SQL text gives a record without images, in the transaction of the text.
func TestBypass_isRecordedOnRequest(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			rec := &recorder{}
			cfg := audit.Config{Sink: rec, RecordUnattributed: true, Logger: slog.New(slog.DiscardHandler)}
			take := rec.take
			reg := company(t)
			cfg.Registry = reg
			if embedded {
				cfg.Sink = nil
			}
			must(t, plain.AutoMigrate(reg.Models()...))
			pool, err := plain.DB()
			must(t, err)
			pool.SetMaxOpenConns(1) // whoever asks for a second connection waits for ever
			must(t, plain.Use(audit.New(cfg)))
			if embedded {
				take = newRecords(t, plain)
			}
			db := plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"}))
			must(t, db.Exec("INSERT INTO customers (name, email) VALUES (?, 'x'), ('it''s "+canary+"', ?)", "Ada", "y").Error)
			records := take()
			if len(records) != 1 {
				t.Fatal(lines(records))
			}
			r := records[0]
			if r.Action != audit.ActionAdd || r.ObjectType != "customer" || r.ObjectID != "" || len(r.Changes) != 0 || r.Table != "customers" || r.UserID != "7" ||
				r.Extra[audit.ExtraNote] != "raw SQL" || fmt.Sprint(r.Extra[audit.ExtraRows]) != "2" {
				t.Errorf("%+v", r)
			}
			data, err := event.Encode(r)
			must(t, err)
			if got := fmt.Sprint(r.Extra[audit.ExtraStatement]); strings.Contains(string(data), canary) || !strings.Contains(got, "INSERT INTO customers (name, email) VALUES") {
				t.Errorf("statement %s in %s", got, data)
			}
			// It shares the end of its transaction.
			_ = db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Exec("DELETE FROM customers").Error)
				return errors.New("undone")
			})
			must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Exec("UPDATE customers SET name = 'x' WHERE id = 1").Error }))
			var names []string
			must(t, db.Raw("DELETE FROM customers WHERE id = 2 RETURNING name").Scan(&names).Error)
			rows, err := db.Raw("DELETE FROM customers WHERE id = 3 RETURNING name").Rows()
			must(t, err)
			must(t, rows.Err())
			must(t, rows.Close())
			must(t, plain.Exec("DELETE FROM customers WHERE id = 4").Error) // no audit context
			must(t, plain.WithContext(audit.Skip(db.Statement.Context)).Exec("DELETE FROM customers WHERE id = 4").Error)
			want := []string{`CHANGE customer  ""`}
			if !embedded { // else the two have the only connection
				want = append(want, `DELETE customer  ""`, `DELETE customer  ""`)
			}
			expect(t, take(), want...)
			must(t, db.Transaction(func(tx *gorm.DB) error {
				return tx.Raw("DELETE FROM customers WHERE id = 2 RETURNING name").Scan(&names).Error
			}))
			expect(t, take(), `DELETE customer  ""`)
			s := audit.From(db).Stats()
			if s.Skipped["customers"]["raw SQL"] != 7 || s.Skipped["customers"][audit.SkipAsked] != 1 || s.Discarded != 1 || s.Failed != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestBypass_isCounted covers what is not recorded without being asked for.
func TestBypass_isCounted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		for _, text := range []string{
			"INSERT INTO customers (name) VALUES ('a')", "UPDATE customers SET name = 'b'", `DELETE FROM "customers"`,
			"WITH x AS (SELECT 1 AS id) DELETE FROM customers WHERE id IN (SELECT id FROM x)",
			"SELECT * FROM customers", "UPDATE category2 SET name = 'customers'",
		} {
			_ = db.Exec(text).Error // there is no table category2
		}
		rec.expect(t)
		if n := audit.From(db).Stats().Skipped["customers"]["raw SQL"]; n != 4 {
			t.Errorf("%d counted, want 4", n)
		}
	})
}

func TestTrail_isSearchableByWhatBypassed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := company(t)
		must(t, plain.AutoMigrate(reg.Models()...))
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Scope: audit.ScopeAll, RecordUnattributed: true, Logger: slog.New(slog.DiscardHandler)})))
		must(t, plain.Exec("DELETE FROM employees").Error)
		trail, err := sqlstore.New(plain, sqlstore.Config{})
		must(t, err)
		page, err := trail.Search(t.Context(), store.Query{Filters: []store.Filter{{Field: store.FieldObjectType, Values: []string{"employee"}}}}.WithDefaults())
		must(t, err)
		if len(page.Records) != 1 || page.Records[0].ActorType != audit.ActorSystem {
			t.Errorf("%+v", page.Records)
		}
	})
}
