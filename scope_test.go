package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// ginContext looks values up as *gin.Context does: strings in its own map, and nothing else.
type ginContext struct {
	context.Context //nolint:containedctx // as in Gin
	keys            map[any]any
}

func (c ginContext) Value(key any) any { return c.keys[key] }

func TestScope(t *testing.T) {
	t.Parallel()
	actor := audit.Actor{ID: "1", Username: "u"}
	nobody := func() (audit.Actor, bool) { return audit.Actor{}, false }
	cases := []struct {
		name      string
		ctx       func(ctx context.Context) context.Context
		actorType string // with ScopeAll
		byDefault bool
	}{
		{"nothing", func(ctx context.Context) context.Context { return ctx }, "system", false},
		{"only a reason", func(ctx context.Context) context.Context { return audit.WithReason(ctx, "r") }, "system", false},
		{"only fields", func(ctx context.Context) context.Context { return audit.WithExtra(ctx, audit.Fields{"a": 1}) }, "system", false},
		{"actor", func(ctx context.Context) context.Context { return audit.WithActor(ctx, actor) }, "user", true},
		{"typed actor", func(ctx context.Context) context.Context {
			return audit.WithActor(ctx, audit.Actor{ID: "1", Type: "robot"})
		}, "robot", true},
		{"request", func(ctx context.Context) context.Context {
			return audit.WithRequest(ctx, audit.Request{IPAddress: "192.0.2.1"})
		}, "anonymous", true},
		{"request without a user", func(ctx context.Context) context.Context {
			return audit.WithRequest(audit.WithActorFunc(ctx, nobody), audit.Request{IPAddress: "192.0.2.1"})
		}, "anonymous", true},
		{"nobody known", func(ctx context.Context) context.Context { return audit.WithActorFunc(ctx, nobody) }, "anonymous", true},
		{"panicking actor", func(ctx context.Context) context.Context {
			return audit.WithActorFunc(ctx, func() (audit.Actor, bool) { panic("no") })
		}, "system", true},
		{"under a string key", func(ctx context.Context) context.Context {
			return ginContext{ctx, map[any]any{audit.ContextKey: audit.ContextValue(audit.WithActor(ctx, actor))}}
		}, "user", true},
		{"nil context", func(context.Context) context.Context { return nil }, "system", false},
	}
	for _, all := range []bool{false, true} {
		var log bytes.Buffer
		cfg := audit.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if all {
			cfg.Scope = audit.ScopeAll
		}
		plain := open(t, openers[0].open(t), &gorm.Config{})
		_, rec := setup(t, plain, cfg)
		must(t, plain.AutoMigrate(&Category2{}))
		skipped := int64(0)
		for _, c := range cases {
			db := plain.Session(&gorm.Session{})
			if ctx := c.ctx(t.Context()); ctx != nil {
				db = plain.WithContext(ctx)
			}
			must(t, db.Create(&Category2{Name: c.name}).Error) // not registered
			must(t, db.Create(&Customer{Name: c.name}).Error)
			records := rec.take()
			if !all && !c.byDefault {
				skipped++
				if len(records) != 0 {
					t.Errorf("%s: recorded by default", c.name)
				}
				continue
			}
			if len(records) != 1 || records[0].ActorType != c.actorType {
				t.Errorf("%s: %d records, %+v", c.name, len(records), records)
			}
		}
		stats := audit.From(plain).Stats()
		if got := stats.Skipped["customers"][audit.SkipNoContext]; got != skipped {
			t.Errorf("skipped %d, want %d", got, skipped)
		}
		if n := strings.Count(log.String(), "table=customers"); !all && n != 1 || all && n != 0 {
			t.Errorf("%d warnings:\n%s", n, log.String())
		}
		if !all && !strings.Contains(log.String(), "audit.ScopeAll") {
			t.Errorf("the warning does not name the switch:\n%s", log.String())
		}
	}
}

// Category2 is not registered.
type Category2 struct {
	ID   uint
	Name string
}

func TestSkip(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	db, rec := setup(t, plain, audit.Config{Scope: audit.ScopeAll})
	quiet := db.WithContext(audit.Skip(db.Statement.Context))
	must(t, quiet.Create(&Customer{Name: "Ada"}).Error)
	must(t, audit.Log(quiet, audit.Entry{Action: "LOGIN"}))
	must(t, db.Create(&Customer{Name: "Bob"}).Error)
	rec.expect(t, `ADD customer 2 "Bob"`)
	if s := audit.From(db).Stats(); s.Skipped["customers"][audit.SkipAsked] != 1 || s.Skipped[""][audit.SkipAsked] != 1 {
		t.Errorf("skipped %v", s.Skipped)
	}
}

func TestContext_reachesTheRecord(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	db, rec := setup(t, plain, audit.Config{Environment: "test", Host: "-", MaskNames: []string{"pin"}})
	ctx := audit.WithActor(t.Context(), audit.Actor{ID: "1", Username: "u", FullName: "U", TenantID: "t1", ImpersonatorID: "2"})
	ctx = audit.WithRequest(ctx, audit.Request{IPAddress: "192.0.2.1", UserAgent: "curl", SessionKey: "s", RequestID: "r", TraceID: "tr", SpanID: "sp", Method: "POST", Route: "/c/:id", Source: "api"})
	ctx = audit.WithReason(ctx, "ticket 4711, see https://u:pw@host/")
	ctx = audit.WithExtra(ctx, audit.Fields{"a": 1, "b": "x", "token": "t0ps3cret", "PIN": "1234", "odd": make(chan int)})
	ctx = audit.WithExtra(ctx, audit.Fields{"b": "y"})
	must(t, db.WithContext(ctx).Create(&Customer{Name: "Ada"}).Error)
	r := rec.only(t)
	if r.UserID != "1" || r.TenantID != "t1" || r.ImpersonatorID != "2" || r.IPAddress != "192.0.2.1" || r.UserAgent != "curl" || r.SessionKey != "s" ||
		r.RequestID != "r" || r.TraceID != "tr" || r.SpanID != "sp" || r.HTTPMethod != "POST" || r.HTTPRoute != "/c/:id" || r.Source != "api" ||
		r.Reason != "ticket 4711, see https://[REDACTED]@host/" || r.Environment != "test" || r.Host != "" {
		t.Errorf("record %+v", r)
	}
	if r.Extra["b"] != "y" || r.Extra["token"] != "[REDACTED]" || r.Extra["PIN"] != "[REDACTED]" || r.Extra["a"] == nil || r.Extra["odd"] == nil {
		t.Errorf("extra %v", r.Extra)
	}
}

// failing is a sink for transactions that fails, as it is told to.
type failing struct {
	err   error
	panic bool
	calls int
}

func (f *failing) WriteTx(context.Context, gorm.ConnPool, []event.Record) error {
	f.calls++
	if f.panic {
		panic("sink")
	}
	return f.err
}

func TestPolicy_continue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		full := errors.New("disk full")
		sink := &failing{err: full}
		var told []error
		var log bytes.Buffer
		cfg := audit.Config{TxSink: sink, OnError: func(_ context.Context, err error) { told = append(told, err); panic("hook") }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		db, _ := setup(t, plain, cfg)
		must(t, db.Create(&Customer{Name: "Ada"}).Error)
		sink.panic = true
		must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&[]Customer{{Name: "Bob"}, {Name: "Cyd"}}).Error }))
		var lost *audit.DeliverError
		var panicked *audit.PanicError
		if len(told) != 2 || !errors.Is(told[0], full) || !errors.As(told[0], &lost) || lost.Records != 1 || !errors.As(told[1], &panicked) {
			t.Errorf("errors %v", told)
		}
		if s := audit.From(db).Stats(); s.Failed != 3 || s.Emitted != 0 || s.Errors[audit.KindSink] != 2 {
			t.Errorf("stats %+v", s)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("logged %d times in a minute:\n%s", n, log.String())
		}
		if n := count(t, plain); n != 3 {
			t.Errorf("%d customers, want 3", n)
		}
	})
}

func TestPolicy_strict(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		full := errors.New("disk full")
		sink := &failing{err: full}
		db, _ := setup(t, plain, audit.Config{TxSink: sink, Policy: audit.Strict})
		if err := db.Create(&Customer{Name: "Ada"}).Error; !errors.Is(err, full) {
			t.Errorf("create: %v", err)
		}
		if err := db.Transaction(func(tx *gorm.DB) error { return tx.Create(&Customer{Name: "Bob"}).Error }); !errors.Is(err, full) {
			t.Errorf("transaction: %v", err)
		}
		if err := audit.Log(db, audit.Entry{Action: "LOGIN"}); !errors.Is(err, full) {
			t.Errorf("log: %v", err)
		}
		if n := count(t, plain); n != 0 {
			t.Errorf("%d customers, want none", n)
		}
		sink.err = nil
		must(t, db.Create(&Customer{Name: "Ada"}).Error)
		must(t, audit.From(db).Shutdown(t.Context()))
		if err := db.Create(&Customer{Name: "Bob"}).Error; !errors.Is(err, audit.ErrShutdown) {
			t.Errorf("after shutdown: %v", err)
		}
		if s := audit.From(db).Stats(); s.Emitted != 1 || s.Failed != 0 || s.Discarded != 4 || count(t, plain) != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func count(t *testing.T, db *gorm.DB) (n int64) {
	t.Helper()
	must(t, db.Unscoped().Model(&Customer{}).Count(&n).Error)
	return n
}

func TestSink_afterCommit(t *testing.T) {
	t.Parallel()
	a, b := &recorder{}, &recorder{}
	broken := &recorder{err: errors.New("down")}
	both := audit.Tee(a, broken, panicking{}, b)
	plain := open(t, openers[0].open(t), &gorm.Config{})
	db, _ := setup(t, plain, audit.Config{Sink: both})
	must(t, db.Create(&Customer{Name: "Ada"}).Error)
	if x, y := a.only(t), b.only(t); x.LogID != y.LogID {
		t.Error("the sinks got different records")
	}
	if got := both.(interface{ String() string }).String(); got != "tee(*audit_test.recorder,*audit_test.recorder,panicking,*audit_test.recorder)" {
		t.Error(got)
	}
	auditor := audit.From(db)
	if s := auditor.Stats(); s.Failed != 1 || s.Emitted != 0 {
		t.Errorf("stats %+v", s)
	}
	if err := auditor.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "flush panicking: not flushed") {
		t.Errorf("flush: %v", err)
	}
	for range 2 {
		if err := auditor.Shutdown(t.Context()); err == nil {
			t.Error("shutdown does not flush")
		}
	}
	must(t, db.Create(&Customer{Name: "Bob"}).Error)
	a.expect(t)
	// The record that writes follow did not get through either.
	if s := auditor.Stats(); s.Failed != 3 || s.Errors[audit.KindConfig] != 1 {
		t.Errorf("stats %+v", s)
	}
}

type panicking struct{}

func (panicking) Write(context.Context, []event.Record) error { panic("sink") }
func (panicking) Flush(context.Context) error                 { return errors.New("not flushed") }
func (panicking) String() string                              { return "panicking" }

func TestSink_bothKinds(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	rec, sink := &recorder{}, &failing{}
	db, _ := setup(t, plain, audit.Config{Sink: rec, TxSink: sink})
	must(t, db.Create(&Customer{Name: "Ada"}).Error)
	must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Create(&Customer{Name: "Bob"}).Error }))
	rec.expect(t, `ADD customer 1 "Ada"`, `ADD customer 2 "Bob"`)
	if sink.calls != 2 {
		t.Errorf("%d calls, want 2", sink.calls)
	}
}
