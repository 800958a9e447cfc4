package capture_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/testservers"
)

func TestInstall_servers(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]error{
		"10.11.6-MariaDB-log": nil, "5.5.5-10.11.1-MariaDB": nil, "11.4.2-MariaDB": nil, "10.6.21-MariaDB": capture.ErrOlder, "10.5.0-MariaDB": capture.ErrOlder,
		"10.4.30-MariaDB": capture.ErrDialect, "9.7.0": nil, "10.0.1": nil, "8.4.3": capture.ErrOlder, "8.0.36": capture.ErrOlder,
		"5.7.44-log": capture.ErrDialect, "": capture.ErrDialect, "8.0.11-TiDB-v8.5.0": capture.ErrDialect,
	} {
		if got := capture.CheckMySQL(version); !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", version, got, want)
		}
	}
	for version, want := range map[string]error{
		"PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu": nil, "PostgreSQL 18beta1 on x86_64": nil, "PostgreSQL 17.2": nil,
		"PostgreSQL 14.20 (Debian 14.20-1)": capture.ErrOlder, "PostgreSQL 12.1": capture.ErrOlder, "PostgreSQL 11.22": capture.ErrDialect,
		"PostgreSQL 9.6.24": capture.ErrDialect, "PostgreSQL 15.2-YB-2.25.0.0-b0": capture.ErrDialect, "CockroachDB CCL v23.1.11": capture.ErrDialect, "": capture.ErrDialect,
	} {
		if got := capture.CheckPostgres(version); !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", version, got, want)
		}
	}
}

// galaxy is a database whose dialect has a name that no test knows.
type galaxy struct{ gorm.Dialector }

func (galaxy) Name() string { return "galaxy" }

// SavePoint and RollbackTo keep the savepoints of the dialect below.
func (r galaxy) SavePoint(tx *gorm.DB, name string) error {
	return r.Dialector.(gorm.SavePointerDialectorInterface).SavePoint(tx, name) //nolint:forcetypeassert // each of ours has them
}

func (r galaxy) RollbackTo(tx *gorm.DB, name string) error {
	return r.Dialector.(gorm.SavePointerDialectorInterface).RollbackTo(tx, name) //nolint:forcetypeassert // each of ours has them
}

func (r galaxy) Translate(err error) error { return err }

func TestInstall_untestedDialect_isRefused(t *testing.T) {
	t.Parallel()
	db := open(t, galaxy{sqlite.Open(filepath.Join(t.TempDir(), "test.db"))}, &gorm.Config{})
	r := &recorder{}
	r.register(t, db, &Order{})
	err := capture.Install(db, r.hooks(), capture.Config{})
	if !errors.Is(err, capture.ErrDialect) {
		t.Fatal(err)
	}
	for _, want := range []string{`"galaxy"`, "PostgreSQL 15", "SQLite 3.35", "MariaDB 10.11", "MySQL 9.7", "AllowUntested"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if err := db.AutoMigrate(&Order{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&Order{ID: 1}).Error; err != nil || len(r.ops()) > 0 {
		t.Error("a refused handle is captured, or broken", err, r.ops())
	}
}

// A database that is allowed is asked what it is.
func TestInstall_untestedDialect_isIdentified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		dialector  func(t *testing.T) gorm.Dialector
	}{
		{"sqlite", "sqlite", func(t *testing.T) gorm.Dialector {
			t.Helper()
			return sqlite.Open(filepath.Join(t.TempDir(), "test.db") + "?_pragma=foreign_keys(1)")
		}},
		{"postgres", "postgres", func(t *testing.T) gorm.Dialector {
			t.Helper()
			return postgres.Open(testservers.PostgresSchema(t))
		}},
		{"mariadb", "mysql", func(t *testing.T) gorm.Dialector {
			t.Helper()
			return mysql.Open(testservers.MariaDBDatabase(t))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			db := open(t, galaxy{c.dialector(t)}, &gorm.Config{})
			r.register(t, db, &Order{})
			if err := db.AutoMigrate(&Order{}); err != nil {
				t.Fatal(err)
			}
			if err := capture.Install(db, r.hooks(), capture.Config{AllowUntested: true}); err != nil {
				t.Fatal(err)
			}
			if got := capture.DialectOf(db); got != c.want {
				t.Errorf("captured as %s, want %s", got, c.want)
			}
			db.Create(&Order{ID: 1})
			db.Model(&Order{ID: 1}).Update("amount", 2)
			db.Delete(&Order{ID: 1})
			wantOps(t, r, "insert orders 1", "update orders 1", "delete orders 1")
		})
	}
}

// Nothing is known of such a database: what is written is captured or counted, the write is never broken.
func TestGeneric_brokenHelpers_leaveTheWriteAlone(t *testing.T) {
	t.Parallel()
	for _, d := range generics {
		for name, cfg := range map[string]*gorm.Config{"default": {}, "skip": {SkipDefaultTransaction: true}} {
			t.Run(d.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := &recorder{}
				db := d.open(t, cfg)
				if err := db.AutoMigrate(&Order{}); err != nil {
					t.Fatal(err)
				}
				r.register(t, db, &Order{})
				r.models["orders"].Columns = append(r.models["orders"].Columns, "not_there") // so that no SELECT works
				d.install(t, db, r.hooks(), capture.Config{})
				err := db.Transaction(func(tx *gorm.DB) error {
					for _, tx := range []*gorm.DB{
						tx.Create(&[]Order{{ID: 1}, {ID: 2}}), tx.Model(&Order{ID: 1}).Update("amount", 2), tx.Delete(&Order{ID: 2}),
					} {
						if tx.Error != nil || tx.RowsAffected == 0 {
							t.Error(tx.Error, tx.RowsAffected)
						}
					}
					return tx.Error
				})
				if err != nil {
					t.Fatal(err)
				}
				var got []Order
				if err := db.Find(&got).Error; err != nil || len(got) != 1 || got[0].Amount != 2 {
					t.Error(err, got)
				}
				if want := []string{capture.ReasonUnread, capture.ReasonUnread, capture.ReasonUnread}; !cmp.Equal(want, r.skipped) || len(r.ops()) > 0 || len(r.failed) == 0 {
					t.Error(r.skipped, r.ops(), r.failed)
				}
			})
		}
	}
}

// Without a lock the image may be old, and says so.
func TestGeneric_withoutLock_saysSo(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := openMariaDB(t, &gorm.Config{})
	if err := db.AutoMigrate(&Order{}); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &Order{})
	database{generic: true, dialect: "mysql"}.install(t, db, r.hooks(), capture.Config{})
	db.Create(&Order{ID: 1})
	db.Model(&Order{ID: 1}).Update("amount", 2)
	db.Delete(&Order{ID: 1})
	wantOps(t, r, "insert orders 1", "update orders 1 ("+capture.NoteUnlocked+")", "delete orders 1 ("+capture.NoteUnlocked+")")
}

func TestGeneric_strict_refusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	r := &recorder{strict: true, inTx: true}
	db := openSQLite(t, &gorm.Config{})
	if err := db.AutoMigrate(&Order{}); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &Order{})
	database{generic: true, dialect: "sqlite"}.install(t, db, r.hooks(), capture.Config{})
	if err := db.Create(&Order{ID: 1}).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Order{ID: 1, Amount: 2}).Error; !errors.Is(err, capture.ErrCapture) {
		t.Error(err)
	}
	var o Order
	if err := db.First(&o).Error; err != nil || o.Amount != 0 {
		t.Error(err, o)
	}
	wantOps(t, r, "insert orders 1")
}

// rewriting is a pool that may do anything to a statement.
type rewriting struct{ pool gorm.ConnPool }

func (p rewriting) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return p.pool.PrepareContext(ctx, query)
}

func (p rewriting) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.pool.ExecContext(ctx, strings.Replace(query, "orders", "orders", 1), args...)
}

func (p rewriting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.pool.QueryContext(ctx, query, args...)
}

func (p rewriting) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p.pool.QueryRowContext(ctx, query, args...)
}

// passing is one that says that it only passes on.
type passing struct{ rewriting }

func (p passing) Unwrap() gorm.ConnPool { return p.pool }

func TestInstall_unknownPool_isRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wrap func(gorm.ConnPool) gorm.ConnPool
		cfg  capture.Config
		ok   bool
	}{
		{"unknown", func(p gorm.ConnPool) gorm.ConnPool { return rewriting{p} }, capture.Config{}, false},
		{"unknown below prepared statements", func(p gorm.ConnPool) gorm.ConnPool {
			return gorm.NewPreparedStmtDB(rewriting{p}, 10, 0)
		}, capture.Config{}, false},
		{"allowed", func(p gorm.ConnPool) gorm.ConnPool { return rewriting{p} }, capture.Config{AllowUntested: true}, true},
		{"passes on", func(p gorm.ConnPool) gorm.ConnPool { return passing{rewriting{p}} }, capture.Config{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			db := openSQLite(t, &gorm.Config{SkipDefaultTransaction: true})
			if err := db.AutoMigrate(&Order{}); err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Order{})
			db.Config.ConnPool = c.wrap(db.Config.ConnPool)
			db.Statement.ConnPool = db.Config.ConnPool
			err := capture.Install(db, r.hooks(), c.cfg)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				db.Create(&Order{ID: 1})
				wantOps(t, r, "insert orders 1")
				return
			}
			if !errors.Is(err, capture.ErrDialect) || !strings.Contains(err.Error(), "capture_test.rewriting") || !strings.Contains(err.Error(), "Unwrap") {
				t.Error(err)
			}
		})
	}
}

// A pool that comes with the statement, behind our back, is left alone and counted.
func TestUnknownPool_ofAStatement_isCounted(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		r := &recorder{strict: strict, inTx: strict}
		db := openSQLite(t, &gorm.Config{SkipDefaultTransaction: true})
		if err := db.AutoMigrate(&Order{}); err != nil {
			t.Fatal(err)
		}
		r.register(t, db, &Order{})
		if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Callback().Create().Before("*").Register("other", func(db *gorm.DB) {
			db.Statement.ConnPool = rewriting{db.Statement.ConnPool}
		}); err != nil {
			t.Fatal(err)
		}
		err := db.Create(&Order{ID: 1}).Error
		var n int64
		db.Model(&Order{}).Count(&n)
		if strict {
			if !errors.Is(err, capture.ErrCapture) || n != 0 {
				t.Error(err, n)
			}
		} else if err != nil || n != 1 || len(r.ops()) > 0 || !cmp.Equal([]string{capture.ReasonPool}, r.skipped) {
			t.Error(err, n, r.ops(), r.skipped)
		}
	}
}
