package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store/sqlstore"
)

// proxied is a database behind a proxy, and the way round it.
type proxied struct {
	db    *gorm.DB
	plain *gorm.DB // without plugin and proxy
	rec   *recorder
	proxy *tcpproxy.Proxy
}

func eachProxied(t *testing.T, use func(t *testing.T, db *gorm.DB) (*gorm.DB, *recorder), f func(t *testing.T, p proxied)) {
	t.Helper()
	for name, o := range map[string]struct {
		dsn  func(t testing.TB) string
		open func(dsn string) gorm.Dialector
	}{
		"postgres": {testservers.PostgresSchema, postgres.Open},
		"mariadb":  {testservers.MariaDBDatabase, mysql.Open},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := o.dsn(t)
			by, proxy := tcpproxy.Through(t, dsn)
			cfg := gorm.Config{DisableForeignKeyConstraintWhenMigrating: true}
			other := cfg
			p := proxied{plain: open(t, o.open(dsn), &other), proxy: proxy}
			p.db, p.rec = use(t, open(t, o.open(by), &cfg))
			f(t, p)
		})
	}
}

// commits are the ways to commit one row.
var commits = map[string]func(db *gorm.DB, e *Employee) error{
	"statement": func(db *gorm.DB, e *Employee) error { return db.Create(e).Error },
	"transaction": func(db *gorm.DB, e *Employee) error {
		return db.Transaction(func(tx *gorm.DB) error { return tx.Create(e).Error })
	},
	"text": func(db *gorm.DB, e *Employee) error {
		tx := db.Begin()
		defer tx.Rollback()
		return errors.Join(tx.Create(e).Error, tx.Exec("COMMIT").Error)
	},
	"SQLTx": func(db *gorm.DB, e *Employee) error {
		x, err := audit.BeginSQL(db.Statement.Context, db, nil)
		if err != nil {
			return err
		}
		defer x.Rollback() //nolint:errcheck // after Commit it does nothing
		if err := x.GORM().Create(e).Error; err != nil {
			return err
		}
		return x.Commit()
	},
}

// The connection is lost while COMMIT is under way, before it reaches the server or before its answer
// reaches us, or the context ends then: nobody can tell which it was, and the record says so.
func TestCommit_unanswered_isUnknown(t *testing.T) {
	t.Parallel()
	eachProxied(t, func(_ *testing.T, db *gorm.DB) (*gorm.DB, *recorder) { return db, nil }, func(t *testing.T, p proxied) {
		near := func() {} // called just before COMMIT is sent
		p.db, p.rec = setup(t, p.db, audit.Config{Before: func(context.Context, *event.Record) bool {
			near()
			return true
		}})
		for name, commit := range commits {
			for _, happened := range []bool{true, false} {
				for _, cancelled := range []bool{false, true} {
					if cancelled && p.db.Name() == "mysql" {
						continue // its driver does not let go of a COMMIT
					}
					t.Run(fmt.Sprintf("%s/happened %v/cancelled %v", name, happened, cancelled), func(t *testing.T) {
						before := audit.From(p.db).Stats()
						ctx, cancel := context.WithCancel(p.db.Statement.Context)
						defer cancel()
						fault := p.proxy.Cut
						if cancelled {
							fault = cancel
						}
						e := Employee{Name: t.Name()}
						near = func() {
							if happened {
								p.proxy.OnNext(tcpproxy.ToClient, fault)
							} else {
								p.proxy.OnNext(tcpproxy.ToServer, fault)
							}
						}
						err := commit(p.db.WithContext(ctx), &e)
						p.proxy.Forward()
						if err == nil {
							t.Fatal("no error")
						}
						var n int64
						must(t, p.plain.Model(&Employee{}).Where("id = ?", e.ID).Count(&n).Error)
						if (n == 1) != happened {
							t.Fatalf("%d rows", n)
						}
						r := p.rec.only(t)
						hash, herr := event.ContentHash(r)
						if r.Outcome != audit.OutcomeUnknown || r.ObjectID != fmt.Sprint(e.ID) || herr != nil || r.RecordHash != hash {
							t.Errorf("record %+v (%v)", r, herr)
						}
						s := audit.From(p.db).Stats()
						if s.Unknown != before.Unknown+1 || s.Emitted != before.Emitted+1 || s.Errors[audit.KindCommit] != before.Errors[audit.KindCommit]+1 || s.Discarded != before.Discarded {
							t.Errorf("%+v, before %+v", s, before)
						}
					})
				}
			}
		}
	})
}

// A sink in the transaction has the record exactly if the change is there.
func TestCommit_unanswered_embeddedStoreIsExact(t *testing.T) {
	t.Parallel()
	eachProxied(t, func(_ *testing.T, db *gorm.DB) (*gorm.DB, *recorder) { return db, nil }, func(t *testing.T, p proxied) {
		store, err := sqlstore.New(p.db, sqlstore.Config{})
		must(t, err)
		sink := &armedSink{TxSink: store}
		p.db, _ = setup(t, p.db, audit.Config{TxSink: sink})
		for _, happened := range []bool{true, false} {
			before := audit.From(p.db).Stats()
			sink.arm = func() { p.proxy.OnNext(tcpproxy.ToServer, p.proxy.Cut) }
			if happened {
				sink.arm = func() { p.proxy.OnNext(tcpproxy.ToClient, p.proxy.Cut) }
			}
			e := Employee{Name: "a"}
			err := p.db.Create(&e).Error
			p.proxy.Forward()
			if err == nil {
				t.Fatal("no error")
			}
			var rows, records int64
			must(t, p.plain.Model(&Employee{}).Where("id = ?", e.ID).Count(&rows).Error)
			must(t, p.plain.Table("audit_logs").Where("object_id = ?", fmt.Sprint(e.ID)).Count(&records).Error)
			want := int64(0)
			if happened {
				want = 1
			}
			if rows != want || records != want {
				t.Errorf("happened %v: %d rows, %d records", happened, rows, records)
			}
			if s := audit.From(p.db).Stats(); s.Unknown != before.Unknown+1 {
				t.Errorf("%+v", s)
			}
		}
	})
}

// armedSink does something once the records of a transaction are written, just before COMMIT.
type armedSink struct {
	audit.TxSink
	arm func()
}

func (s *armedSink) WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error {
	err := s.TxSink.WriteTx(ctx, conn, records)
	s.arm()
	return err
}

// What the server itself refuses at COMMIT is certain: there is no record, and nothing in doubt.
func TestCommit_refusedByTheServer_leavesNothing(t *testing.T) {
	t.Parallel()
	plain := open(t, postgres.Open(testservers.PostgresSchema(t)), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
	db, rec := setup(t, plain, audit.Config{})
	must(t, plain.Exec(`ALTER TABLE employees ADD CONSTRAINT once UNIQUE (name) DEFERRABLE INITIALLY DEFERRED`).Error)
	must(t, plain.Exec("INSERT INTO employees (name) VALUES ('taken')").Error)

	state := func(err error) string {
		var s interface{ SQLState() string }
		if !errors.As(err, &s) {
			return fmt.Sprint(err)
		}
		return s.SQLState()
	}
	for name, commit := range commits {
		if err := commit(db, &Employee{Name: "taken"}); state(err) != "23505" {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Write skew: both count the rows and add one; the second to commit is refused, at COMMIT.
	first := db.Begin(&sql.TxOptions{Isolation: sql.LevelSerializable})
	second := db.Begin(&sql.TxOptions{Isolation: sql.LevelSerializable})
	for i, tx := range []*gorm.DB{first, second} {
		var n int64
		must(t, tx.Model(&Employee{}).Count(&n).Error)
		must(t, tx.Create(&Employee{Name: fmt.Sprint("e", i)}).Error)
	}
	must(t, first.Commit().Error)
	if err := second.Commit().Error; state(err) != "40001" {
		t.Errorf("%v", err)
	}
	rec.expect(t, `ADD employee 6 "e0"`)

	// An aborted transaction answers COMMIT with ROLLBACK.
	tx := db.Begin()
	must(t, tx.Create(&Employee{Name: "aborted"}).Error)
	_ = tx.Exec("no SQL")
	if err := tx.Session(&gorm.Session{NewDB: true}).Commit().Error; err == nil {
		t.Error("no error")
	}
	if s := audit.From(db).Stats(); s.Unknown != 0 || s.Errors[audit.KindCommit] != 0 || s.Emitted != 1 || s.Discarded != 6 {
		t.Errorf("%+v", s)
	}
	if got := rec.take(); len(got) != 0 {
		t.Error(lines(got))
	}
}
