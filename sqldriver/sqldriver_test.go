package sqldriver_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/sqldriver"
)

type server struct {
	name string
	dsn  func(t testing.TB) string
}

// servers are databases by the name of their driver.
var servers = func() []server {
	all := []server{
		{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "t.db") }},
		{"pgx", testservers.PostgresSchema},
		{"mysql", testservers.MariaDBDatabase},
	}
	if testservers.Long() {
		all = append(all, server{"mysql", testservers.MySQLDatabase})
	}
	return all
}()

// pools opens a database without and with the driver wrapped.
func pools(t testing.TB, name, dsn string) (plain, wrapped *sql.DB) {
	t.Helper()
	plain, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sqldriver.WrapDriver(plain.Driver()).(driver.DriverContext).OpenConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	wrapped = sql.OpenDB(c)
	t.Cleanup(func() {
		if err := errors.Join(plain.Close(), wrapped.Close()); err != nil {
			t.Error(err)
		}
	})
	return plain, wrapped
}

// use does what applications do, and notes what they see.
func use(t *testing.T, db *sql.DB, name string) (seen []string) {
	t.Helper()
	ctx := t.Context()
	see := func(what string, v ...any) { seen = append(seen, what+": "+fmt.Sprint(v...)) }
	mark := func(n int) string {
		if name == "pgx" {
			return fmt.Sprint("$", n)
		}
		return "?"
	}
	_, err := db.ExecContext(ctx, "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20), at TIMESTAMP NULL, bin "+map[string]string{"pgx": "BYTEA", "mysql": "BLOB", "sqlite": "BLOB"}[name]+")")
	see("create", err)
	insert := "INSERT INTO t (id, name, bin) VALUES (" + mark(1) + "," + mark(2) + "," + mark(3) + ")"
	r, err := db.ExecContext(ctx, insert, 1, sql.NullString{String: "a", Valid: true}, []byte{1, 2})
	see("insert", err)
	if err == nil {
		n, err := r.RowsAffected()
		see("rows", n, err)
	}
	stmt, err := db.PrepareContext(ctx, insert)
	see("prepare", err)
	if err == nil {
		_, err = stmt.ExecContext(ctx, int64(2), "b", nil)
		see("insert prepared", err)
		_, err = stmt.ExecContext(ctx, 2, "twice", nil)
		see("twice", err != nil)
		_, err = stmt.ExecContext(ctx, 1)
		see("too few", err)
		_, err = stmt.ExecContext(ctx, struct{}{}, 1, 1)
		see("no value", err)
		see("close", stmt.Close())
	}
	tx, err := db.BeginTx(ctx, nil)
	see("begin", err)
	_, err = tx.ExecContext(ctx, "UPDATE t SET name = 'c' WHERE id = 1")
	see("update", err)
	see("rollback", tx.Rollback(), tx.Commit())
	_, err = db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSnapshot})
	see("isolation", err != nil)
	rows, err := db.QueryContext(ctx, "SELECT id, name, bin FROM t WHERE id >= "+mark(1)+" ORDER BY id", 1)
	see("query", err)
	if err == nil {
		types, err := rows.ColumnTypes()
		see("types", err)
		for _, c := range types {
			length, sized := c.Length()
			null, known := c.Nullable()
			see("type", c.Name(), c.DatabaseTypeName(), c.ScanType(), length, sized, null, known)
		}
		for rows.Next() {
			var id, n, bin any
			see("scan", rows.Scan(&id, &n, &bin), fmt.Sprintf("%T %T %T", id, n, bin))
		}
		see("end", rows.Err(), rows.Close())
	}
	_, err = db.ExecContext(ctx, "no SQL")
	see("wrong", err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = db.ExecContext(ended, "DELETE FROM t")
	see("ended", err)
	see("ping", db.PingContext(ctx))
	var n int
	see("count", db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n), n)
	_, err = db.ExecContext(ctx, "DROP TABLE t")
	see("drop", err)
	return seen
}

// A wrapped driver behaves as it does alone.
func TestWrap_behavesAsTheDriver(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			plain, wrapped := pools(t, s.name, s.dsn(t))
			if diff := cmp.Diff(use(t, plain, s.name), use(t, wrapped, s.name)); diff != "" {
				t.Errorf("(-alone +wrapped):\n%s", diff)
			}
			if plain.Driver() != wrapped.Driver() {
				t.Errorf("driver %T", wrapped.Driver())
			}
			conn, err := wrapped.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			alone, err := plain.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer alone.Close()
			var ours, theirs any
			err = errors.Join(conn.Raw(func(c any) error { ours = c; return nil }), alone.Raw(func(c any) error { theirs = c; return nil }))
			if err != nil || fmt.Sprintf("%T", sqldriver.Unwrap(ours)) != fmt.Sprintf("%T", theirs) || sqldriver.Unwrap(theirs) != theirs {
				t.Errorf("%T, %T: %v", ours, theirs, err)
			}
		})
	}
}

// bare is a driver's connection with nothing but what it must have; what it is asked for is noted.
type bare struct {
	log    *[]string
	broken bool
}

func (b *bare) Prepare(q string) (driver.Stmt, error) {
	*b.log = append(*b.log, "prepare "+q)
	return &bareStmt{b, q}, nil
}
func (b *bare) Close() error { *b.log = append(*b.log, "close"); return nil }
func (b *bare) Begin() (driver.Tx, error) {
	*b.log = append(*b.log, "begin")
	return b, nil
}
func (b *bare) Commit() error   { *b.log = append(*b.log, "commit"); return nil }
func (b *bare) Rollback() error { *b.log = append(*b.log, "rollback"); return nil }

type bareStmt struct {
	c *bare
	q string
}

func (s *bareStmt) Close() error  { return nil }
func (s *bareStmt) NumInput() int { return -1 }
func (s *bareStmt) Exec(args []driver.Value) (driver.Result, error) {
	*s.c.log = append(*s.c.log, fmt.Sprintf("exec %s %v", s.q, args))
	return driver.RowsAffected(1), nil
}

func (s *bareStmt) Query(args []driver.Value) (driver.Rows, error) {
	*s.c.log = append(*s.c.log, fmt.Sprintf("query %s %v", s.q, args))
	return nil, driver.ErrSkip
}

// direct runs statements without preparing them, in the old way.
type direct struct{ *bare }

func (d direct) Exec(q string, args []driver.Value) (driver.Result, error) {
	*d.log = append(*d.log, fmt.Sprintf("direct %s %v", q, args))
	return driver.RowsAffected(2), nil
}

// checking has its own arguments, a judgement of itself, and resets.
type checking struct{ *bare }

func (c checking) CheckNamedValue(v *driver.NamedValue) error {
	if v.Name == "skip" {
		return driver.ErrRemoveArgument
	}
	if s, ok := v.Value.(fmt.Stringer); ok {
		v.Value = "own " + s.String()
		return nil
	}
	return driver.ErrSkip
}
func (c checking) IsValid() bool                      { return !c.broken }
func (c checking) ResetSession(context.Context) error { *c.log = append(*c.log, "reset"); return nil }
func (c checking) Ping(context.Context) error         { return errors.New("pinged") }

// converting converts by column.
type converting struct{ *bare }

func (c converting) Prepare(q string) (driver.Stmt, error) {
	return convertingStmt{&bareStmt{c.bare, q}}, nil
}

type convertingStmt struct{ *bareStmt }

func (convertingStmt) NumInput() int { return 1 }
func (convertingStmt) ColumnConverter(int) driver.ValueConverter {
	return driver.NotNull{Converter: driver.Bool}
}

// opening is a driver without a connector.
type opening struct{ open func() driver.Conn }

func (o opening) Open(string) (driver.Conn, error) { return o.open(), nil }

// number is no value of a driver.
type number struct{ n int }

func (n number) String() string { return strings.Repeat("i", n.n) }

// What a driver lacks, database/sql does in its place; it does the same with the wrapped one.
func TestWrap_optionalInterfaces_areThoseOfTheDriver(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*bare) driver.Conn{
		"bare":       func(b *bare) driver.Conn { return b },
		"direct":     func(b *bare) driver.Conn { return direct{b} },
		"checking":   func(b *bare) driver.Conn { return checking{b} },
		"converting": func(b *bare) driver.Conn { return converting{b} },
	} {
		run := func(wrap func(driver.Driver) driver.Driver) (log []string) {
			var last atomic.Pointer[bare]
			d := opening{func() driver.Conn {
				b := &bare{log: &log}
				last.Store(b)
				return open(b)
			}}
			ctx := t.Context()
			w := wrap(d)
			var db *sql.DB
			if c, ok := w.(driver.DriverContext); ok {
				connector, err := c.OpenConnector("")
				if err != nil {
					t.Fatal(err)
				}
				db = sql.OpenDB(connector)
			} else {
				db = sql.OpenDB(connectorOf{d})
			}
			db.SetMaxOpenConns(1)
			note := func(what string, v ...any) { log = append(log, what+": "+fmt.Sprint(v...)) }
			_, err := db.ExecContext(ctx, "a", 1, "x")
			note("exec", err)
			_, err = db.ExecContext(ctx, "b", number{3})
			note("own type", err)
			_, err = db.ExecContext(ctx, "c", sql.Named("skip", 1), 2)
			note("named", err)
			_, err = db.ExecContext(ctx, "d", true)
			note("bool", err)
			rows, err := db.QueryContext(ctx, "e")
			if err == nil {
				err = errors.Join(rows.Err(), rows.Close())
			}
			note("query", err)
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
			note("isolation", err)
			if err == nil {
				_ = tx.Rollback()
			}
			_, err = db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			note("read only", err)
			tx, err = db.BeginTx(ctx, nil)
			note("begin", err)
			note("commit", tx.Commit())
			note("ping", db.PingContext(ctx))
			last.Load().broken = true
			_, err = db.ExecContext(ctx, "f", 1)
			note("after it broke", err)
			note("close", db.Close())
			return log
		}
		alone := run(func(d driver.Driver) driver.Driver { return d })
		if diff := cmp.Diff(alone, run(sqldriver.WrapDriver)); diff != "" {
			t.Errorf("%s (-alone +wrapped):\n%s", name, diff)
		}
	}
}

// connectorOf is how database/sql opens a driver without a connector.
type connectorOf struct{ d driver.Driver }

func (c connectorOf) Connect(context.Context) (driver.Conn, error) { return c.d.Open("") }
func (c connectorOf) Driver() driver.Driver                        { return c.d }

// closing is a connector that is closed with its pool.
type closing struct {
	connectorOf
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }

func TestWrap_connector(t *testing.T) {
	t.Parallel()
	var log []string
	closed := false
	inner := closing{connectorOf{opening{func() driver.Conn { return &bare{log: &log} }}}, &closed}
	c := sqldriver.Wrap(inner)
	if again := sqldriver.Wrap(c); again != c {
		t.Error("wrapped twice")
	}
	if err := sql.OpenDB(c).Close(); err != nil || !closed {
		t.Error(err, closed)
	}
	if err := sql.OpenDB(sqldriver.Wrap(inner.connectorOf)).Close(); err != nil {
		t.Error(err)
	}
}
