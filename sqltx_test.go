package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// eachSQL runs a test on every database, with prepared statements and without.
func eachSQL(t *testing.T, f func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	all := append(openers[:len(openers):len(openers)], struct {
		name string
		open func(t testing.TB) gorm.Dialector
	}{"mariadb", func(t testing.TB) gorm.Dialector { return mysql.Open(testservers.MariaDBDatabase(t)) }})
	for _, o := range all {
		for name, prepare := range map[string]bool{"": false, "+prepared": true} {
			t.Run(o.name+name, func(t *testing.T) {
				t.Parallel()
				f(t, open(t, o.open(t), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true, PrepareStmt: prepare}))
			})
		}
	}
}

// trail is where records of a test go.
type trail struct {
	name   string
	cfg    audit.Config
	stored func(t *testing.T, db *gorm.DB, rec *recorder) []event.Record
}

func trails() []trail {
	embedded := func(t *testing.T, db *gorm.DB, _ *recorder) []event.Record {
		t.Helper()
		s, err := sqlstore.New(db, sqlstore.Config{SkipMigrate: true})
		must(t, err)
		page, err := s.Search(context.WithoutCancel(t.Context()), store.Query{Ascending: true}.WithDefaults())
		must(t, err)
		return page.Records
	}
	return []trail{
		{"sink", audit.Config{}, func(_ *testing.T, _ *gorm.DB, rec *recorder) []event.Record { return rec.take() }},
		{"embedded", audit.Config{}, embedded},
		{"strict", audit.Config{Policy: audit.Strict}, embedded},
	}
}

// use installs the plugin with the trail.
func (tr trail) use(t *testing.T, db *gorm.DB) (*gorm.DB, *recorder) {
	t.Helper()
	if tr.name == "sink" {
		return setup(t, db, tr.cfg)
	}
	cfg := tr.cfg
	cfg.Registry = company(t)
	must(t, db.AutoMigrate(cfg.Registry.Models()...))
	must(t, db.Use(audit.New(cfg)))
	return db.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7", Username: "john.doe"})), nil
}

// beginnings are the ways to come by a Tx.
var beginnings = map[string]func(t *testing.T, db *gorm.DB) *audit.Tx{
	"begun": func(t *testing.T, db *gorm.DB) *audit.Tx {
		t.Helper()
		x, err := audit.BeginSQL(db.Statement.Context, db, nil)
		must(t, err)
		return x
	},
	"taken over": func(t *testing.T, db *gorm.DB) *audit.Tx {
		t.Helper()
		pool, err := db.DB()
		must(t, err)
		raw, err := pool.BeginTx(db.Statement.Context, nil)
		must(t, err)
		x, err := audit.SQLTx(db, raw)
		must(t, err)
		return x
	},
	"on a connection": func(t *testing.T, db *gorm.DB) *audit.Tx {
		t.Helper()
		pool, err := db.DB()
		must(t, err)
		conn, err := pool.Conn(db.Statement.Context)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		raw, err := conn.BeginTx(db.Statement.Context, nil)
		must(t, err)
		x, err := audit.SQLTx(db, raw)
		must(t, err)
		return x
	},
}

func createEmployee(t *testing.T, x *audit.Tx, name string) {
	t.Helper()
	must(t, x.GORM().Create(&Employee{Name: name}).Error)
}

func execText(t *testing.T, x *audit.Tx, query string) {
	t.Helper()
	if _, err := x.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// sqlCalls are what an application may do in such a transaction, and the names it leaves.
var sqlCalls = []struct {
	name string
	run  func(t *testing.T, x *audit.Tx) error
	want string
}{
	{"commit", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		createEmployee(t, x, "b")
		return x.Commit()
	}, "a b"},
	{"commit by the handle", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		return x.GORM().Commit().Error
	}, "a"},
	{"rollback", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		return x.Rollback()
	}, ""},
	{"rollback deferred", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		err := x.Commit()
		if again := x.Rollback(); !errors.Is(again, sql.ErrTxDone) {
			t.Error(again)
		}
		return err
	}, "a"},
	{"savepoint as text", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		execText(t, x, "SAVEPOINT one")
		createEmployee(t, x, "b")
		execText(t, x, "ROLLBACK TO SAVEPOINT one")
		createEmployee(t, x, "c")
		return x.Commit()
	}, "a c"},
	{"savepoint as a query", func(t *testing.T, x *audit.Tx) error {
		execText(t, x, "SAVEPOINT one")
		createEmployee(t, x, "a")
		rows, err := x.QueryContext(t.Context(), "ROLLBACK TO one")
		must(t, err)
		must(t, rows.Err())
		must(t, rows.Close())
		createEmployee(t, x, "b")
		execText(t, x, "SAVEPOINT two")
		createEmployee(t, x, "c")
		if err := x.QueryRowContext(t.Context(), "ROLLBACK TO two").Scan(); !errors.Is(err, sql.ErrNoRows) {
			t.Error(err)
		}
		return x.Commit()
	}, "b"},
	{"savepoint of GORM", func(t *testing.T, x *audit.Tx) error {
		undone := errors.New("undone")
		createEmployee(t, x, "a")
		err := x.GORM().Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Employee{Name: "b"}).Error)
			return undone
		})
		if !errors.Is(err, undone) {
			t.Error(err)
		}
		return x.Commit()
	}, "a"},
	{"both see the same", func(t *testing.T, x *audit.Tx) error {
		createEmployee(t, x, "a")
		var name string
		must(t, x.QueryRowContext(t.Context(), "SELECT name FROM employees").Scan(&name))
		stmt, err := x.PrepareContext(t.Context(), "SELECT count(*) FROM employees")
		must(t, err)
		var n int
		must(t, stmt.QueryRowContext(t.Context()).Scan(&n))
		must(t, stmt.Close())
		var onSQL int
		must(t, x.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM employees").Scan(&onSQL))
		if name != "a" || n != 1 || onSQL != 1 {
			t.Error(name, n, onSQL)
		}
		return x.Commit()
	}, "a"},
	{"update", func(t *testing.T, x *audit.Tx) error {
		e := Employee{Name: "a"}
		must(t, x.GORM().Create(&e).Error)
		must(t, x.GORM().Model(&e).Update("name", "b").Error)
		return x.Commit()
	}, "a b"},
}

func TestSQLTx_recordsWhatCommitted(t *testing.T) {
	t.Parallel()
	for _, tr := range trails() {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			eachSQL(t, func(t *testing.T, plain *gorm.DB) {
				db, rec := tr.use(t, plain)
				for name, begin := range beginnings {
					for _, c := range sqlCalls {
						t.Run(name+"/"+c.name, func(t *testing.T) {
							must(t, db.Exec("DELETE FROM employees").Error)
							if rec == nil {
								must(t, db.Exec("DELETE FROM audit_logs").Error)
							}
							x := begin(t, db)
							if err := c.run(t, x); err != nil {
								t.Error(err)
							}
							var got []string
							for _, r := range tr.stored(t, db, rec) {
								got = append(got, r.ObjectRepr)
								if r.Username != "john.doe" || r.Outcome != "" {
									t.Errorf("record %+v", r)
								}
							}
							if strings.Join(got, " ") != c.want {
								t.Errorf("recorded %q, want %q", got, c.want)
							}
							var names []string
							must(t, db.Model(&Employee{}).Order("id").Pluck("name", &names).Error)
							if there := strings.Join(names, " "); there != c.want && c.name != "update" {
								t.Errorf("the table has %q, want %q", there, c.want)
							}
						})
					}
				}
				if s := audit.From(db).Stats(); s.Failed+s.Unknown != 0 || len(s.Errors) != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestSQLTx_contextEnds_recordsNothing(t *testing.T) {
	t.Parallel()
	eachSQL(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		for name, begin := range beginnings {
			ctx, cancel := context.WithCancel(db.Statement.Context)
			x := begin(t, db.WithContext(ctx))
			createEmployee(t, x, "a")
			cancel()
			if err := x.Commit(); err == nil {
				t.Errorf("%s: no error", name)
			}
			_ = x.Rollback()
		}
		s := audit.From(db).Stats()
		if got := rec.take(); len(got) != 0 || s.Discarded != 3 || s.Unknown != 0 {
			t.Errorf("%d records: %+v", len(got), s)
		}
	})
}

func TestSQLTx_refuses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		if _, err := audit.SQLTx(plain, nil); !errors.Is(err, audit.ErrNotInstalled) {
			t.Error(err)
		}
		if _, err := audit.BeginSQL(t.Context(), plain, nil); !errors.Is(err, audit.ErrNotInstalled) {
			t.Error(err)
		}
		db, _ := setup(t, plain, audit.Config{})
		if _, err := audit.SQLTx(db, nil); !errors.Is(err, audit.ErrConfig) {
			t.Error(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := audit.BeginSQL(ended, db, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_ = db.Transaction(func(tx *gorm.DB) error {
			if _, err := audit.BeginSQL(t.Context(), tx, nil); !errors.Is(err, gorm.ErrInvalidTransaction) {
				t.Error(err)
			}
			return nil
		})
		x, err := audit.BeginSQL(t.Context(), db, nil)
		must(t, err)
		defer x.Rollback() //nolint:errcheck // nothing is in it
		for _, query := range []string{"SAVEPOINT a", "ROLLBACK TO a", "COMMIT"} {
			if _, err := x.PrepareContext(t.Context(), query); !errors.Is(err, audit.ErrControl) || !strings.Contains(err.Error(), query) {
				t.Error(err)
			}
		}
	})
}

// SQL text that goes by GORM is counted as that which goes through it.
func TestSQLTx_text_isCounted(t *testing.T) {
	t.Parallel()
	eachSQL(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{RecordUnattributed: true})
		x, err := audit.BeginSQL(db.Statement.Context, db, nil)
		must(t, err)
		ctx := x.GORM().Statement.Context
		_, err = x.ExecContext(ctx, "INSERT INTO employees (name) VALUES ('a')")
		must(t, err)
		stmt, err := x.PrepareContext(ctx, "UPDATE employees SET name = 'b'")
		must(t, err)
		_, err = stmt.ExecContext(ctx)
		must(t, err)
		must(t, stmt.Close())
		if got := rec.take(); len(got) != 0 {
			t.Errorf("%d records before COMMIT", len(got))
		}
		must(t, x.Commit())
		records := rec.take()
		if len(records) != 2 || records[0].Action != event.ActionAdd || fmt.Sprint(records[0].Extra[audit.ExtraRows]) != "1" || records[1].Action != event.ActionChange {
			t.Errorf("%+v", records)
		}
		if n := audit.From(db).Stats().Skipped["employees"]["raw SQL"]; n != 2 {
			t.Errorf("%d", n)
		}
	})
}

// The policy Strict: what the sink does not take is rolled back, with what the application wrote itself.
func TestSQLTx_strict_rollsBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		for name, begin := range beginnings {
			_ = name
			db := plain
			if audit.From(db) == nil {
				cfg := audit.Config{Registry: company(t), Policy: audit.Strict, TxSink: takesNothing{}}
				must(t, db.AutoMigrate(cfg.Registry.Models()...))
				must(t, db.Use(audit.New(cfg)))
			}
			x := begin(t, db.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"})))
			createEmployee(t, x, "a")
			execText(t, x, "INSERT INTO employees (name) VALUES ('b')")
			if err := x.Commit(); !errors.Is(err, errTakesNothing) {
				t.Error(err)
			}
			var n int64
			must(t, plain.Model(&Employee{}).Count(&n).Error)
			if n != 0 {
				t.Errorf("%d rows", n)
			}
		}
	})
}

var errTakesNothing = errors.New("refused")

// takesNothing is a TxSink that takes nothing.
type takesNothing struct{}

func (takesNothing) WriteTx(context.Context, gorm.ConnPool, []event.Record) error {
	return errTakesNothing
}

// A transaction that is ended on the *sql.Tx itself is not forgotten without a word: Commit, or the garbage
// collector, finds it.
func TestSQLTx_endedElsewhere_isInDoubt(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		x, err := audit.BeginSQL(db.Statement.Context, db, nil)
		must(t, err)
		createEmployee(t, x, "a")
		must(t, x.SQL().Commit())
		if err := x.Commit(); !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
		if r := rec.only(t); r.Outcome != audit.OutcomeUnknown || r.ObjectRepr != "a" {
			t.Errorf("%+v", r)
		}

		func() {
			x, err := audit.BeginSQL(db.Statement.Context, db, nil)
			must(t, err)
			createEmployee(t, x, "b")
			must(t, x.SQL().Commit())
		}()
		var found []event.Record
		for range 1000 {
			runtime.GC()
			if found = rec.take(); len(found) > 0 {
				break
			}
			select {
			case <-t.Context().Done():
			case <-time.After(time.Millisecond): // the collector's cleanups run when they will
			}
		}
		if len(found) != 1 || found[0].Outcome != audit.OutcomeUnknown || found[0].ObjectRepr != "b" {
			t.Errorf("%+v", found)
		}
		if s := audit.From(db).Stats(); s.Unknown != 2 || s.Emitted != 2 || s.Errors[audit.KindCommit] != 2 {
			t.Errorf("%+v", s)
		}
	})
}
