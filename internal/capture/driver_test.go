package capture_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"slices"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/sqldriver"
)

// watched gives a pool whose driver is watched.
func watched(t testing.TB, name, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c, err := sqldriver.WrapDriver(pool.Driver()).(driver.DriverContext).OpenConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return sql.OpenDB(c)
}

// watchedDatabases are opened by the application, through sqldriver.
var watchedDatabases = []database{
	{name: "sqlite", dialect: "sqlite", open: func(t testing.TB, cfg *gorm.Config) *gorm.DB {
		t.Helper()
		dsn := filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(0)&_pragma=foreign_keys(1)"
		return open(t, &sqlite.Dialector{Conn: watched(t, "sqlite", dsn)}, cfg)
	}},
	{name: "postgres", dialect: "postgres", open: func(t testing.TB, cfg *gorm.Config) *gorm.DB {
		t.Helper()
		dsn := testservers.PostgresSchema(t) + " synchronous_commit=off"
		return open(t, postgres.New(postgres.Config{Conn: watched(t, "pgx", dsn)}), cfg)
	}},
	{name: "mariadb", dialect: "mysql", open: func(t testing.TB, cfg *gorm.Config) *gorm.DB {
		t.Helper()
		dsn := testservers.MariaDBDatabase(t) + "&multiStatements=true"
		return open(t, mysql.New(mysql.Config{Conn: watched(t, "mysql", dsn)}), cfg)
	}},
	{name: "mysql", dialect: "mysql", open: func(t testing.TB, cfg *gorm.Config) *gorm.DB {
		t.Helper()
		dsn := testservers.MySQLDatabase(t) + "&multiStatements=true"
		return open(t, mysql.New(mysql.Config{Conn: watched(t, "mysql", dsn)}), cfg)
	}},
}

// sessionOn gives a session of db on a connection or transaction that GORM did not make.
func sessionOn(db *gorm.DB, conn gorm.ConnPool) *gorm.DB {
	s := db.Session(&gorm.Session{NewDB: true, Context: db.Statement.Context})
	s.Statement.ConnPool = conn
	return s
}

// beside runs f in a transaction that is begun on the *sql.DB.
func beside(db *gorm.DB, o *observed, f func(raw *sql.Tx, g *gorm.DB)) {
	pool, err := db.DB()
	o.err(err)
	raw, err := pool.BeginTx(db.Statement.Context, nil)
	o.err(err)
	defer raw.Rollback() //nolint:errcheck // if f panics
	f(raw, sessionOn(db, raw))
}

func execOn(conn gorm.ConnPool, o *observed, query string) {
	_, err := conn.ExecContext(context.Background(), query)
	o.err(err)
}

// besideCalls are transactions that GORM does not begin or end.
var besideCalls = []call{
	{name: "beside commit", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(raw *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			o.err(amount(g, 2, 51))
			o.err(raw.Commit())
		})
	}},
	{name: "beside rollback", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(raw *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			o.err(raw.Rollback())
		})
	}},
	{name: "beside savepoints", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(raw *sql.Tx, g *gorm.DB) {
			execOn(raw, o, "SAVEPOINT a") // before GORM is seen in it
			o.err(amount(g, 1, 50))
			execOn(raw, o, "ROLLBACK TO SAVEPOINT a")
			o.err(amount(g, 2, 51))
			execOn(raw, o, "SAVEPOINT b")
			o.err(amount(g, 3, 52))
			stmt, err := raw.PrepareContext(context.Background(), "ROLLBACK TO SAVEPOINT b")
			o.err(err)
			if err == nil {
				_, err = stmt.ExecContext(context.Background())
				o.err(err)
				o.err(stmt.Close())
			}
			o.err(g.Transaction(func(tx *gorm.DB) error {
				o.err(amount(tx, 3, 53))
				return errNo
			}))
			o.err(raw.Commit())
		})
	}, only: "", uncaptured: false},
	{name: "beside context ends", run: func(db *gorm.DB, o *observed) {
		ctx, cancel := context.WithCancel(db.Statement.Context)
		beside(db.WithContext(ctx), o, func(raw *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			cancel()
			o.err(nil, raw.Commit() != nil)
		})
	}},
	{name: "beside text on a connection", run: func(db *gorm.DB, o *observed) {
		pool, err := db.DB()
		o.err(err)
		conn, err := pool.Conn(db.Statement.Context)
		o.err(err)
		g := sessionOn(db.Session(&gorm.Session{SkipDefaultTransaction: true}), conn)
		execOn(conn, o, "BEGIN")
		o.err(amount(g, 1, 50))
		execOn(conn, o, "ROLLBACK")
		execOn(conn, o, "BEGIN")
		o.err(amount(g, 2, 51))
		execOn(conn, o, "SAVEPOINT s")
		o.err(amount(g, 3, 52))
		execOn(conn, o, "ROLLBACK TO s")
		execOn(conn, o, "COMMIT")
		o.err(amount(g, 1, 53))
		o.err(conn.Close())
	}},
	{name: "beside deferred constraint", only: "postgres", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(raw *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			o.err(g.Model(&Profile{ID: 1}).Update("customer_id", 999).Error)
			o.err(raw.Commit())
		})
	}},
	{name: "beside aborted", only: "postgres", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(raw *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			execOn(raw, o, "no SQL")
			o.err(raw.Commit())
		})
	}},
	{name: "beside ended by GORM", run: func(db *gorm.DB, o *observed) {
		beside(db, o, func(_ *sql.Tx, g *gorm.DB) {
			o.err(amount(g, 1, 50))
			o.err(g.Commit().Error)
		})
	}},
}

// TestOracle_watchedDriver_isCapturedExactly runs the calls of transactions, those beside GORM among them, on
// databases that are opened through sqldriver.
func TestOracle_watchedDriver_isCapturedExactly(t *testing.T) {
	t.Parallel()
	for i, d := range watchedDatabases {
		if d.name == "mysql" && !long() {
			continue
		}
		for _, c := range []configuration{configurations[0], configurations[3]} {
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				plain := newRuns(t, databases[slices.IndexFunc(databases, func(d database) bool { return d.name == watchedDatabases[i].name })], c, false, false)
				captured := map[string]*runs{"in transaction": newRuns(t, d, c, true, true), "after commit": newRuns(t, d, c, true, false)}
				for _, call := range slices.Concat(besideCalls, txCalls, endCalls) {
					if call.only != "" && call.only != d.dialect {
						continue
					}
					t.Run(call.name, func(t *testing.T) { //nolint:paralleltest // one database
						seen, before, after := plain.do(t, call)
						for name, s := range captured {
							t.Run(name, func(t *testing.T) { compare(t, s, call, seen, before, after) }) //nolint:paralleltest // one database
						}
					})
				}
			})
		}
	}
}
