package testservers

import (
	"context"
	"database/sql"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// verdict records how a test was ended.
type verdict struct {
	testing.TB
	skipped, failed bool
}

func (v *verdict) Helper()      {}
func (v *verdict) Skip(...any)  { v.skipped = true }
func (v *verdict) Fatal(...any) { v.failed = true }

func TestAddress_missing(t *testing.T) {
	t.Setenv("POSTGRES_DSN", "")
	for _, c := range []struct {
		name, servers   string
		skipped, failed bool
	}{
		{"optional", "", true, false},
		{"required", "required", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AUDIT_TEST_SERVERS", c.servers)
			v := &verdict{TB: t}
			Postgres(v)
			if v.skipped != c.skipped || v.failed != c.failed {
				t.Errorf("skipped %t, failed %t; want %t, %t", v.skipped, v.failed, c.skipped, c.failed)
			}
		})
	}
}

func TestWithSearchPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dsn, want string }{
		{"host=h user=u", "host=h user=u search_path=s"},
		{"postgres://u:p@h/d", "postgres://u:p@h/d?search_path=s"},
		{"postgresql://u:p@h/d?sslmode=disable", "postgresql://u:p@h/d?search_path=s&sslmode=disable"},
	} {
		if got := withSearchPath(c.dsn, "s"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.dsn, got, c.want)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dsn, want string }{
		{"u:p@tcp(h:1)/d", "u:p@tcp(h:1)/n"},
		{"u:p@tcp(h:1)/?parseTime=true", "u:p@tcp(h:1)/n?parseTime=true"},
		{"u:p@tcp(h:1)/d?loc=Europe/Berlin", "u:p@tcp(h:1)/n?loc=Europe/Berlin"},
	} {
		if got := withDatabase(c.dsn, "n"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.dsn, got, c.want)
		}
	}
}

func TestPostgresSchema_isGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	dsn := Postgres(t)
	var schema string
	t.Run("inner", func(t *testing.T) {
		db := open(t, "pgx", PostgresSchema(t))
		execute(t, db, "CREATE TABLE things (id int)")
		schema = text(t, db, "SELECT current_schema()")
	})
	got := text(t, open(t, "pgx", dsn), "SELECT count(*)::text FROM pg_namespace WHERE nspname = '"+schema+"'")
	if got != "0" || schema == "" || schema == "public" {
		t.Errorf("schema %q is there %s times, want none", schema, got)
	}
}

func TestMariaDBDatabase_isGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	dsn := MariaDB(t)
	var database string
	t.Run("inner", func(t *testing.T) {
		db := open(t, "mysql", MariaDBDatabase(t))
		execute(t, db, "CREATE TABLE things (id int)")
		database = text(t, db, "SELECT database()")
	})
	got := text(t, open(t, "mysql", dsn), "SELECT count(*) FROM information_schema.schemata WHERE schema_name = '"+database+"'")
	if got != "0" || database == "" {
		t.Errorf("database %q is there %s times, want none", database, got)
	}
}

func text(t *testing.T, db *sql.DB, query string) (s string) {
	t.Helper()
	if err := db.QueryRowContext(context.WithoutCancel(t.Context()), query).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
