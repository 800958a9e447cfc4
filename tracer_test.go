package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

type tracedRow struct {
	ID   uint
	Name string
}

// spanOf is the key of the span that a test puts into a context.
type spanOf struct{}

// notedTracer notes what it is told.
type notedTracer struct {
	mu     sync.Mutex
	writes []string
	panics bool
}

func (n *notedTracer) Span(ctx context.Context) (traceID, spanID string) {
	if n.panics {
		panic("a tracer")
	}
	span, _ := ctx.Value(spanOf{}).(string)
	if span == "" {
		return "", ""
	}
	return "trace-of-" + span, span
}

func (n *notedTracer) Write(ctx context.Context, sink string, records []event.Record) (context.Context, func(error)) {
	if n.panics {
		panic("a tracer")
	}
	return ctx, func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		outcome := "ok"
		if err != nil {
			outcome = err.Error()
		}
		for _, r := range records {
			n.writes = append(n.writes, sink+" "+r.TraceID+" "+r.SpanID+" "+outcome)
		}
	}
}

// tellingSink keeps nothing and fails if it is told to.
type tellingSink struct{ err error }

func (s *tellingSink) Write(context.Context, []event.Record) error { return s.err }
func (s *tellingSink) String() string                              { return "telling" }

// TestTracer: a record has the span of its own statement, whatever the transaction's is, before that of the
// header traceparent; and the tracer is told of the write and its end. A panic in it is no harm.
func TestTracer(t *testing.T) {
	t.Parallel()
	db := open(t, sqlite.Open(filepath.Join(t.TempDir(), "app.db")), &gorm.Config{})
	if err := db.AutoMigrate(&tracedRow{}); err != nil {
		t.Fatal(err)
	}
	tracer, sink := &notedTracer{}, &tellingSink{}
	cfg := audit.Config{
		Registry: audit.NewRegistry(), Scope: audit.ScopeAll, Logger: slog.New(slog.DiscardHandler), Sink: sink, SkipSelf: true, Tracer: tracer,
	}
	if err := cfg.Registry.Register(&tracedRow{}); err != nil {
		t.Fatal(err)
	}
	a := audit.New(cfg)
	if err := db.Use(a); err != nil {
		t.Fatal(err)
	}
	within := func(span string) context.Context {
		ctx := audit.WithRequest(t.Context(), audit.Request{TraceID: "header", SpanID: "caller"})
		return context.WithValue(ctx, spanOf{}, span)
	}
	err := db.WithContext(within("request")).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&tracedRow{Name: "a"}).Error; err != nil {
			return err
		}
		if err := tx.WithContext(within("step")).Create(&tracedRow{Name: "b"}).Error; err != nil {
			return err
		}
		return audit.Log(tx.WithContext(within("log")), audit.Entry{Action: "LOOK", Message: "at it"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.WithContext(within("")).Create(&tracedRow{Name: "c"}).Error; err != nil { // without a span
		t.Fatal(err)
	}
	sink.err = errors.New("full")
	if err := db.WithContext(within("late")).Create(&tracedRow{Name: "d"}).Error; err != nil {
		t.Fatal(err)
	}
	want := []string{
		"sink telling trace-of-request request ok", "sink telling trace-of-step step ok", "sink telling trace-of-log log ok",
		"sink telling header caller ok", "sink telling trace-of-late late full",
	}
	tracer.mu.Lock()
	got := tracer.writes
	tracer.mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}

	sink.err, tracer.panics = nil, true
	before := a.Stats()
	if err := db.WithContext(within("request")).Create(&tracedRow{Name: "e"}).Error; err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Emitted != before.Emitted+1 || s.Errors[audit.KindHook] != before.Errors[audit.KindHook]+2 {
		t.Errorf("a tracer that panics: %+v, before %+v", s, before)
	}
}
