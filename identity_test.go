package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

func TestIdentity_tenantAndImpersonator(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		_, rec := setup(t, plain, audit.Config{Scope: audit.ScopeAll})
		ctx := t.Context()
		for _, c := range []struct {
			ctx  context.Context //nolint:containedctx // a case
			want string
		}{
			{audit.WithActor(ctx, audit.Actor{ID: "1", TenantID: "acme", ImpersonatorID: "9"}), "user 1 acme 9"},
			{audit.WithTenant(audit.WithActor(ctx, audit.Actor{ID: "1"}), "acme"), "user 1 acme "},
			{audit.WithActor(audit.WithTenant(ctx, "acme"), audit.Actor{ID: "1"}), "user 1 acme "},
			// The authenticated actor knows better than whatever stands around it.
			{audit.WithTenant(audit.WithActor(ctx, audit.Actor{ID: "1", TenantID: "acme"}), "other"), "user 1 acme "},
			{audit.WithTenant(audit.WithTenant(ctx, "acme"), "other"), "system  other "},
		} {
			must(t, plain.WithContext(c.ctx).Create(&Customer{Name: "Ada"}).Error)
			r := rec.only(t)
			if got := fmt.Sprint(r.ActorType, " ", r.UserID, " ", r.TenantID, " ", r.ImpersonatorID); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		}
		must(t, audit.Log(plain.WithContext(audit.WithTenant(ctx, "acme")), audit.Entry{Action: "X", Actor: &audit.Actor{ID: "2"}}))
		if r := rec.only(t); r.TenantID != "acme" || r.UserID != "2" {
			t.Errorf("%+v", r)
		}
	})
}

// TestWithTenant_isNoAuditContext: like a reason it only says more of what is recorded.
func TestWithTenant_isNoAuditContext(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	_, rec := setup(t, plain, audit.Config{})
	must(t, plain.WithContext(audit.WithTenant(t.Context(), "acme")).Create(&Customer{Name: "Ada"}).Error)
	rec.expect(t)
}

// TestIdentity_lateBinding: the actor is asked for when the statement returns, so that authentication
// may run behind the middleware, and each statement has its own.
func TestIdentity_lateBinding(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		_, rec := setup(t, plain, audit.Config{})
		var user atomic.Pointer[audit.Actor]
		ctx := audit.WithRequest(t.Context(), audit.Request{IPAddress: "192.0.2.1"})
		db := plain.WithContext(audit.WithActorFunc(ctx, func() (audit.Actor, bool) {
			if a := user.Load(); a != nil {
				return *a, true
			}
			return audit.Actor{}, false
		}))
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Customer{Name: "before"}).Error)
			user.Store(&audit.Actor{ID: "7"})
			return tx.Create(&Customer{Name: "after"}).Error
		}))
		user.Store(&audit.Actor{ID: "8"})
		records := rec.take()
		if len(records) != 2 || records[0].ActorType != audit.ActorAnonymous || records[0].UserID != "" || records[1].UserID != "7" || records[1].ActorType != audit.ActorUser {
			t.Errorf("%+v", records)
		}
	})
}

func TestIdentity_restoredAfterNestedScopes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		_, rec := setup(t, plain, audit.Config{})
		outer := audit.WithReason(audit.WithActor(t.Context(), audit.Actor{ID: "outer"}), "r1")
		must(t, plain.WithContext(outer).Transaction(func(tx *gorm.DB) error {
			inner := audit.WithReason(audit.WithActor(tx.Statement.Context, audit.Actor{ID: "inner", TenantID: "t"}), "r2")
			must(t, tx.Create(&Customer{Name: "a"}).Error)
			must(t, tx.WithContext(inner).Transaction(func(tx *gorm.DB) error { return tx.Create(&Customer{Name: "b"}).Error }))
			must(t, tx.WithContext(audit.Skip(tx.Statement.Context)).Create(&Customer{Name: "skipped"}).Error)
			func() {
				defer func() { _ = recover() }()
				_ = tx.WithContext(inner).Transaction(func(tx *gorm.DB) error {
					must(t, tx.Create(&Customer{Name: "undone"}).Error)
					panic("inner")
				})
			}()
			return tx.Create(&Customer{Name: "c"}).Error
		}))
		var got []string
		for _, r := range rec.take() {
			got = append(got, r.ObjectRepr+" "+r.UserID+" "+r.TenantID+" "+r.Reason)
		}
		if want := "[a outer  r1 b inner t r2 c outer  r1]"; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	})
}

// TestIdentity_goroutines: many requests at once, and what they start goes on with their actor when
// they have ended.
func TestIdentity_goroutines(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		_, rec := setup(t, plain, audit.Config{})
		var wg sync.WaitGroup
		for i := range 16 {
			id := fmt.Sprint(i)
			wg.Go(func() {
				request, end := context.WithCancel(audit.WithRequest(audit.WithActor(t.Context(), audit.Actor{ID: id}), audit.Request{RequestID: id}))
				background := context.WithoutCancel(request)
				ended := make(chan struct{})
				wg.Go(func() {
					<-ended
					if err := plain.WithContext(background).Create(&Customer{Name: id, Email: "background"}).Error; err != nil {
						t.Error(err)
					}
				})
				if err := plain.WithContext(request).Create(&Customer{Name: id, Email: "request"}).Error; err != nil {
					t.Error(err)
				}
				end()
				close(ended)
			})
		}
		wg.Wait()
		records := rec.take()
		for _, r := range records {
			if r.UserID != r.ObjectRepr || r.RequestID != r.ObjectRepr {
				t.Errorf("%s by %s in request %s", line(r), r.UserID, r.RequestID)
			}
		}
		if len(records) != 32 {
			t.Errorf("%d records, want 32", len(records))
		}
	})
}

// cancelledSink cancels nothing: it refuses a cancelled context, as a sink does that uses the network.
type cancelledSink struct{ recorder }

func (s *cancelledSink) Write(ctx context.Context, records []event.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.recorder.Write(ctx, records)
}

// TestIdentity_cancelledRequest_keepsItsRecords: the client goes away when the row is written.
func TestIdentity_cancelledRequest_keepsItsRecords(t *testing.T) {
	t.Parallel()
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			// Without a transaction of GORM's the row is there as soon as the statement returns.
			plain := open(t, o.open(t), &gorm.Config{SkipDefaultTransaction: true, DisableForeignKeyConstraintWhenMigrating: true})
			sink := &cancelledSink{}
			db, _ := setup(t, plain, audit.Config{Sink: sink})
			ann := Employee{Name: "Ann"}
			must(t, db.Create(&ann).Error)
			sink.take()
			ctx, cancel := context.WithCancel(t.Context())
			ctx = audit.WithActorFunc(ctx, func() (audit.Actor, bool) {
				cancel() // it is asked when the row is written
				return audit.Actor{ID: "7"}, true
			})
			err := plain.WithContext(ctx).Create(&Dependent{EmployeeID: &ann.ID, FullName: "Kim"}).Error
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			var n int64
			must(t, plain.Model(&Dependent{}).Count(&n).Error)
			if n != 1 {
				t.Fatalf("%d rows, want 1: nothing is tested", n)
			}
			sink.expect(t, `ADD employee 1 "Ann" from dependent 1 "dependent Kim"`) // with its parent's words
			if s := audit.From(db).Stats(); s.Failed != 0 || len(s.Errors) != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}
