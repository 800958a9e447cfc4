package sqlstore_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// TestNew_manyAtOnce starts processes on one database at the same time.
func TestNew_manyAtOnce(t *testing.T) {
	t.Parallel()
	for name, dialector := range map[string]func(t *testing.T) func() gorm.Dialector{
		"sqlite": func(t *testing.T) func() gorm.Dialector {
			file := filepath.Join(t.TempDir(), "audit.db")
			return func() gorm.Dialector { return sqlite.Open(file + pragmas) }
		},
		"sqlite without busy time-out": func(t *testing.T) func() gorm.Dialector {
			file := filepath.Join(t.TempDir(), "audit.db")
			return func() gorm.Dialector { return sqlite.Open(file) }
		},
		"postgres": func(t *testing.T) func() gorm.Dialector {
			dsn := testservers.PostgresSchema(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		},
		"mariadb": func(t *testing.T) func() gorm.Dialector {
			dsn := testservers.MariaDBDatabase(t)
			return func() gorm.Dialector { return mysql.Open(dsn) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial := dialector(t)
			const processes = 6
			dbs := make([]*gorm.DB, processes)
			for i := range dbs {
				dbs[i] = open(t, dial())
			}
			done := make(chan error, processes)
			for _, db := range dbs {
				go func() {
					_, err := sqlstore.New(db, sqlstore.Config{})
					done <- err
				}()
			}
			for range processes {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			s := newStore(t, dbs[0], sqlstore.Config{})
			if _, err := s.Write(t.Context(), []store.Doc{{Record: record(1)}}); err != nil {
				t.Error(err)
			}
			if got := count(t, newStore(t, dbs[1], sqlstore.Config{})); got != 1 {
				t.Errorf("another process sees %d records, want 1", got)
			}
		})
	}
}

func TestNew_foreignTable(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			if err := db.Exec("CREATE TABLE audit_logs (id INTEGER)").Error; err != nil {
				t.Fatal(err)
			}
			if _, err := sqlstore.New(db, sqlstore.Config{}); !errors.Is(err, sqlstore.ErrTable) || !strings.Contains(err.Error(), "Config.Table") {
				t.Errorf("error %v, want ErrTable that says what to do", err)
			}
			s := newStore(t, db, sqlstore.Config{Table: "app_audit_logs"})
			if err := db.Exec("UPDATE app_audit_logs_meta SET value = '99' WHERE name = 'schema_version'").Error; err != nil {
				t.Fatal(err)
			}
			if _, err := sqlstore.New(db, sqlstore.Config{Table: "app_audit_logs"}); !errors.Is(err, sqlstore.ErrTable) || !strings.Contains(err.Error(), "99") {
				t.Errorf("error %v, want ErrTable that names the version", err)
			}
			if got := count(t, s); got != 0 {
				t.Errorf("%d records, want 0", got)
			}
		})
	}
}

func TestNew_skipMigrate(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			s := newStore(t, db, sqlstore.Config{SkipMigrate: true})
			if db.Migrator().HasTable("audit_logs") {
				t.Error("New made the table in spite of SkipMigrate")
			}
			if _, err := s.Search(t.Context(), store.Query{}); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("search without the table: %v, want ErrUnavailable", err)
			}
			statements, err := sqlstore.Migration(db, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range statements {
				if err := db.Exec(statement).Error; err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			if got := count(t, s); got != 0 {
				t.Errorf("%d records, want 0", got)
			}
			newStore(t, db, sqlstore.Config{})
		})
	}
}

func TestNew_badTable(t *testing.T) {
	t.Parallel()
	db := sqliteMemory(t)
	for _, table := range []string{"a b", `a"b`, "a;b", "1a", ".a", "a.", "a.b.c", "ü", strings.Repeat("a", 49)} {
		if _, err := sqlstore.New(db, sqlstore.Config{Table: table}); err == nil || !strings.Contains(err.Error(), "Config.Table") {
			t.Errorf("table %q: error %v, want one that names Config.Table", table, err)
		}
	}
}

// TestNew_schemas keeps the trails of two tables in schemas apart, whatever the search path is.
func TestNew_schemas(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	other := testservers.Name(t, "o_")
	if err := db.Exec("CREATE SCHEMA " + other).Error; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Exec("DROP SCHEMA " + other + " CASCADE").Error; err != nil {
			t.Error(err)
		}
	})
	a, b := newStore(t, db, sqlstore.Config{}), newStore(t, db, sqlstore.Config{Table: other + ".trail"})
	if _, err := b.Write(t.Context(), []store.Doc{{Record: record(1)}, {Record: record(2)}}); err != nil {
		t.Fatal(err)
	}
	if got := count(t, a); got != 0 {
		t.Errorf("%d records in the first table, want 0", got)
	}
	if got := count(t, b); got != 2 {
		t.Errorf("%d records in the second table, want 2", got)
	}
}

// TestNew_inATransaction opens GORM on a transaction, as test suites do that roll everything back.
func TestNew_inATransaction(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := gorm.Open(postgres.New(postgres.Config{Conn: tx}), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, inner, sqlstore.Config{})
	if err := s.WriteTx(t.Context(), inner.Statement.ConnPool, records(2)); err != nil {
		t.Error(err)
	}
	if _, err := s.Write(t.Context(), []store.Doc{{Record: record(9)}}); err != nil {
		t.Error(err)
	}
	if got := count(t, s); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
	if page, err := s.Search(t.Context(), store.Query{Text: "note"}); err != nil || len(page.Records) != 3 {
		t.Errorf("text finds %d records (%v), want 3", len(page.Records), err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if db.Migrator().HasTable("audit_logs") {
		t.Error("the table is there after the rollback")
	}
}

func TestPurge_deletesOnlyOlder(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, d.open(t), sqlstore.Config{})
			at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
			var docs []store.Doc
			for i := range 1300 {
				r := event.Record{LogID: event.NewID(at), Timestamp: at.Add(time.Duration(i) * time.Second), Action: event.ActionAdd, ObjectRepr: "purged words"}
				docs = append(docs, store.Doc{Record: r})
			}
			if _, err := s.Write(t.Context(), docs); err != nil {
				t.Fatal(err)
			}
			search := func(q store.Query) store.Page {
				page, err := s.Search(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				return page
			}
			if got := search(store.Query{Text: "purged"}).Total; got != 1300 {
				t.Errorf("text finds %d records, want 1300", got)
			}
			n, err := s.Purge(t.Context(), at.Add(1250*time.Second))
			if err != nil || n != 1250 {
				t.Errorf("deleted %d (%v), want 1250", n, err)
			}
			for _, q := range []store.Query{{Ascending: true}, {Ascending: true, Text: "purged words"}} {
				page := search(q)
				if page.Total != 50 || !page.Records[0].Timestamp.Equal(at.Add(1250*time.Second)) {
					t.Errorf("%d records from %s, want 50 from the time on", page.Total, page.Records[0].Timestamp)
				}
			}
			if n, err := s.Purge(t.Context(), at.Add(time.Hour)); err != nil || n != 50 {
				t.Errorf("deleted %d (%v), want 50", n, err)
			}
			// New records after all are gone are found.
			if _, err := s.Write(t.Context(), docs[:3]); err != nil {
				t.Fatal(err)
			}
			if got := search(store.Query{Text: "purged"}).Total; got != 3 {
				t.Errorf("text finds %d records, want 3", got)
			}
		})
	}
}
