package audit_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/internal/testservers"
)

// buffer is a log that several goroutines may write.
type buffer struct{ logbuffer.Buffer }

func (b *buffer) count(part string) int { return strings.Count(b.String(), part) }

// Nobody knows which statements run in a transaction that is begun on a pool: it is counted, and warned
// of once. The policy Strict refuses it.
func TestBegunOnAPool_isCounted(t *testing.T) {
	t.Parallel()
	eachSQL(t, func(t *testing.T, plain *gorm.DB) {
		pool, err := plain.DB()
		must(t, err)
		pool.SetMaxOpenConns(1) // so that the end meets the beginning
		log := &buffer{}
		db, rec := setup(t, plain, audit.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		begun := []string{"BEGIN", "/* one */ begin"}
		switch plain.Name() {
		case "sqlite":
			begun = append(begun, "SAVEPOINT a")
		case "mysql":
			begun = append(begun, "SET autocommit = 0")
		}
		for _, text := range begun {
			must(t, db.Exec(text).Error)
			must(t, db.Exec("ROLLBACK").Error)
		}
		if plain.Name() == "mysql" {
			must(t, db.Exec("SET autocommit = 1").Error)
		}
		rows, err := db.Raw("BEGIN").Rows()
		must(t, err)
		rows.Next() // SQLite runs it now
		must(t, rows.Err())
		must(t, rows.Close())
		must(t, db.Exec("ROLLBACK").Error)
		if s := audit.From(db).Stats(); s.Skipped[""][capture.ReasonStray] != int64(len(begun)+1) {
			t.Errorf("%+v", s)
		}
		if n := log.count("begun as text on a pool"); n != 1 || log.count("db.Begin, db.Connection or audit.BeginSQL") != 1 {
			t.Errorf("%d warnings", n)
		}
		// What can be followed is not counted.
		must(t, db.Connection(func(c *gorm.DB) error {
			must(t, c.Exec("BEGIN").Error)
			must(t, c.Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&Customer{Name: "a"}).Error)
			return c.Exec("COMMIT").Error
		}))
		rec.only(t)
		if s := audit.From(db).Stats(); s.Skipped[""][capture.ReasonStray] != int64(len(begun)+1) {
			t.Errorf("%+v", s)
		}
	})
}

func TestBegunOnAPool_strict_isRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, _ := trail{name: "strict", cfg: audit.Config{Policy: audit.Strict}}.use(t, plain)
		err := db.Exec("BEGIN").Error
		if err == nil || !strings.Contains(err.Error(), capture.ReasonStray) || !strings.Contains(err.Error(), "audit.BeginSQL") {
			t.Error(err)
		}
		must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Exec("SAVEPOINT a").Error }))
	})
}

// XA PREPARE leaves the end to somebody else: with a sink behind COMMIT the record says so, and a store in the
// transaction shares its end.
func TestXAPrepare_isUnknown(t *testing.T) {
	t.Parallel()
	for _, embedded := range []bool{false, true} {
		plain := open(t, mysql.Open(testservers.MariaDBDatabase(t)), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
		db, rec := plain, (*recorder)(nil)
		if embedded {
			db, _ = trail{name: "embedded"}.use(t, plain)
		} else {
			db, rec = setup(t, plain, audit.Config{})
		}
		for name, end := range map[string]string{"kept": "XA COMMIT ", "gone": "XA ROLLBACK "} {
			before, object := audit.From(db).Stats(), ""
			id := fmt.Sprintf("'audit-%x'", rand.Uint64())
			must(t, db.Session(&gorm.Session{SkipDefaultTransaction: true}).Connection(func(c *gorm.DB) error {
				must(t, c.Exec("XA START "+id).Error)
				e := Employee{Name: name}
				must(t, c.Create(&e).Error)
				object = fmt.Sprint(e.ID)
				must(t, c.Exec("XA END "+id).Error)
				must(t, c.Exec("XA PREPARE "+id).Error)
				return c.Exec(end + id).Error
			}))
			after := audit.From(db).Stats()
			if after.Unknown != before.Unknown+1 || after.Errors[audit.KindCommit] != before.Errors[audit.KindCommit]+1 || after.Discarded != 0 || after.Failed != 0 {
				t.Errorf("%s: %+v", name, after)
			}
			if !embedded {
				if r := rec.only(t); r.Outcome != audit.OutcomeUnknown || r.ObjectRepr != name {
					t.Errorf("%+v", r)
				}
				continue
			}
			var records int64
			must(t, plain.Table("audit_logs").Where("object_type = 'employee' AND object_id = ?", object).Count(&records).Error)
			if want := map[string]int64{"kept": 1}[name]; records != want {
				t.Errorf("%s: %d records", name, records)
			}
		}
	}
}

// armedPool does something just before a COMMIT is sent, and when its answer was lost.
type armedPool struct {
	*sql.DB
	arm func() (answered func())
}

func (p *armedPool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, opts)
	return &armedTx{tx, p}, err //nolint:wrapcheck // as *sql.DB
}

// Unwrap says that the pool passes on what it is given.
func (p *armedPool) Unwrap() gorm.ConnPool { return p.DB }

// GetDBConn gives the *sql.DB.
func (p *armedPool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

type armedTx struct {
	*sql.Tx
	pool *armedPool
}

// Unwrap says that the transaction passes on what it is given.
func (t *armedTx) Unwrap() gorm.ConnPool { return t.Tx }

func (t *armedTx) Commit() error {
	defer t.pool.arm()()
	return t.Tx.Commit() //nolint:wrapcheck // as *sql.Tx
}

// A delete with its associations, outside a transaction, has one for the statement that takes two steps. If
// the answer to its COMMIT is lost, its record is in doubt, and those of the others are certain.
func TestDelete_commitOfOneStatementUnanswered_isUnknown(t *testing.T) {
	t.Parallel()
	dsn := testservers.MariaDBDatabase(t)
	by, proxy := tcpproxy.Through(t, dsn)
	pool, err := sql.Open("mysql", by)
	must(t, err)
	quiet := func() func() { return func() {} }
	armed := &armedPool{pool, quiet}
	plain := open(t, mysql.Open(dsn), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true})
	db, rec := setup(t, open(t, mysql.New(mysql.Config{Conn: armed}), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true, SkipDefaultTransaction: true}), audit.Config{})
	for _, happened := range []bool{true, false} {
		e := Employee{Name: fmt.Sprint("happened ", happened), Dependents: []Dependent{{FullName: "Kim"}}}
		must(t, db.Create(&e).Error)
		rec.take()
		before := audit.From(db).Stats()
		armed.arm = func() func() {
			if happened {
				proxy.OnNext(tcpproxy.ToClient, proxy.Cut)
			} else {
				proxy.OnNext(tcpproxy.ToServer, proxy.Cut)
			}
			return proxy.Forward // what follows reads
		}
		err := db.Select("Dependents").Delete(&Employee{ID: e.ID}).Error
		armed.arm = quiet
		if err == nil {
			t.Fatal("no error")
		}
		var n int64
		must(t, plain.Model(&Employee{}).Where("id = ?", e.ID).Count(&n).Error)
		if (n == 0) != happened {
			t.Fatalf("%d rows", n)
		}
		got := map[string]string{}
		for _, r := range rec.take() {
			got[r.SourceModel+r.ObjectRepr] = string(r.Action) + " " + r.Outcome
		}
		if len(got) != 2 || got[e.Name] != "DELETE "+audit.OutcomeUnknown {
			t.Errorf("%v", got)
		}
		if s := audit.From(db).Stats(); s.Unknown != before.Unknown+1 || s.Emitted != before.Emitted+2 || s.Discarded != before.Discarded {
			t.Errorf("%+v, before %+v", s, before)
		}
	}
}
