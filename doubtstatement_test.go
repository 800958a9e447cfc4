package audit_test

import (
	"context"
	"fmt"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/tcpproxy"
)

// The answer to a statement outside a transaction is lost, with a sink behind COMMIT: the row may be there,
// and a record says that nobody knows.
func TestStatement_unanswered_isUnknown(t *testing.T) {
	t.Parallel()
	near := func(*gorm.DB) {}
	eachProxied(t, func(t *testing.T, db *gorm.DB) (*gorm.DB, *recorder) { t.Helper(); return setup(t, db, audit.Config{}) }, func(t *testing.T, p proxied) {
		near := near // called just before the statement is sent
		for _, err := range []error{
			p.db.Callback().Create().Before("gorm:create").Register("near", func(db *gorm.DB) { near(db) }),
			p.db.Callback().Delete().Before("gorm:delete").Register("near", func(db *gorm.DB) { near(db) }),
		} {
			must(t, err)
		}
		// The driver of MySQL prepares statements with arguments, which is an exchange of its own.
		db := p.db.Session(&gorm.Session{SkipDefaultTransaction: true, PrepareStmt: p.db.Name() == "mysql"})
		statements := map[string]struct {
			run    func(db *gorm.DB, e *Employee) error
			action string
			rows   map[bool]int64
		}{
			"create": {func(db *gorm.DB, e *Employee) error { return db.Create(e).Error }, "ADD", map[bool]int64{true: 1, false: 0}},
			"delete": {func(db *gorm.DB, e *Employee) error { return db.Delete(e).Error }, "DELETE", map[bool]int64{true: 0, false: 1}},
		}
		for name, s := range statements {
			if name == "delete" && p.db.Name() == "mysql" {
				continue // an update, which has a transaction
			}
			for _, happened := range []bool{true, false} {
				for _, cancelled := range []bool{false, true} {
					if cancelled && p.db.Name() == "mysql" && !happened {
						continue // its driver waits for a server that was never asked
					}
					t.Run(fmt.Sprintf("%s/happened %v/cancelled %v", name, happened, cancelled), func(t *testing.T) {
						var before audit.Stats
						e := Employee{Name: t.Name()}
						// A pool asks a connection that was idle for a second whether it lives: on a busy machine
						// that exchange may meet the fault instead.
						for tries := 1; ; tries++ {
							warm := Employee{Name: "warm"}
							e.ID = 0
							must(t, db.Create(&warm).Error)
							must(t, db.Delete(&warm).Error)
							if name == "delete" {
								must(t, db.Create(&e).Error)
							}
							p.rec.take()
							before = audit.From(p.db).Stats()
							ctx, cancel := context.WithCancel(db.Statement.Context)
							fault := p.proxy.Cut
							if cancelled {
								fault = cancel
							}
							near = func(*gorm.DB) {
								if happened {
									p.proxy.OnNext(tcpproxy.ToClient, fault)
								} else {
									p.proxy.OnNext(tcpproxy.ToServer, fault)
								}
							}
							err := s.run(db.WithContext(ctx), &e)
							cancel()
							near = func(*gorm.DB) {}
							p.proxy.Forward()
							var n int64
							must(t, p.plain.Model(&Employee{}).Where("name = ?", e.Name).Count(&n).Error)
							if err != nil && n == s.rows[happened] {
								break
							}
							if tries == 20 {
								t.Fatalf("%d rows, %v", n, err)
							}
							must(t, p.plain.Unscoped().Where("name = ?", e.Name).Delete(&Employee{}).Error)
						}
						r := p.rec.only(t)
						if r.Outcome != audit.OutcomeUnknown || string(r.Action) != s.action || r.ObjectType != "employee" || r.IsTruncated || r.Extra[audit.ExtraStatement] == nil {
							t.Errorf("record %+v", r)
						}
						after := audit.From(p.db).Stats()
						if after.Unknown != before.Unknown+1 || after.Errors[audit.KindCommit] != before.Errors[audit.KindCommit]+1 || after.Truncated != before.Truncated {
							t.Errorf("%+v, before %+v", after, before)
						}
						must(t, p.plain.Where("name = ?", e.Name).Delete(&Employee{}).Error)
					})
				}
			}
		}
		// An error of the database is certain, and so is a context that had ended before.
		ctx, cancel := context.WithCancel(db.Statement.Context)
		cancel()
		if db.WithContext(ctx).Create(&Employee{Name: "never"}).Error == nil || db.Create(&[]Employee{{ID: 77}, {ID: 77}}).Error == nil {
			t.Error("no error")
		}
		if r := p.rec.take(); len(r) != 0 {
			t.Errorf("records:\n%s", lines(r))
		}
	})
}
