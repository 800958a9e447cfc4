package testservers

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	_ "gorm.io/driver/mysql"    // registers the driver "mysql"
	_ "gorm.io/driver/postgres" // registers the driver "pgx"
)

// PostgresSchema makes an empty schema with a random name in PostgreSQL and gives a DSN in which it is
// the search path. It is dropped, with all that is in it, when the test ends; connections to it must
// be closed by then.
func PostgresSchema(t testing.TB) string {
	t.Helper()
	dsn := Postgres(t)
	schema := Name(t, "t_")
	db := open(t, "pgx", dsn)
	execute(t, db, "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		// A connection that a test left in a transaction would make the drop wait for ever.
		execute(t, db, "SET lock_timeout = '20s'; DROP SCHEMA "+schema+" CASCADE")
	})
	return withSearchPath(dsn, schema)
}

// MariaDBDatabase makes an empty database with a random name in MariaDB and gives its DSN. It is
// dropped when the test ends; connections to it must be closed by then.
func MariaDBDatabase(t testing.TB) string {
	t.Helper()
	return database(t, MariaDB(t))
}

// MySQLDatabase is MariaDBDatabase for MySQL.
func MySQLDatabase(t testing.TB) string {
	t.Helper()
	return database(t, MySQL(t))
}

func database(t testing.TB, dsn string) string {
	t.Helper()
	name := Name(t, "t_")
	db := open(t, "mysql", dsn)
	execute(t, db, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	t.Cleanup(func() { execute(t, db, "DROP DATABASE "+name) })
	return withDatabase(dsn, name)
}

// withSearchPath gives the DSN, a URL or key=value pairs, with another search path.
func withSearchPath(dsn, schema string) string {
	u, err := url.Parse(dsn)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return dsn + " search_path=" + schema
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// withDatabase gives the DSN user:password@protocol(address)/database?parameters with another
// database.
func withDatabase(dsn, database string) string {
	head, parameters, found := strings.Cut(dsn, "?")
	head = head[:strings.LastIndexByte(head, '/')+1] + database
	if found {
		head += "?" + parameters
	}
	return head
}

// open opens a database that is closed when the test ends. One connection is enough, and keeps
// settings of the session.
func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// execute runs the statement; it works in a test's cleanup too.
func execute(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	// The test's own context has ended when cleanups run.
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
		if !strings.HasPrefix(statement, "CREATE ") {
			return
		}
		t.FailNow()
	}
}
