package telemetry_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type customer struct {
	ID    uint
	Phone string
}

// application opens a database of its own whose customers are recorded by an Auditor with cfg.
func application(t testing.TB, cfg audit.Config) (*gorm.DB, *audit.Auditor) {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "app.db")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() })
	if err := db.AutoMigrate(&customer{}); err != nil {
		t.Fatal(err)
	}
	cfg.Registry, cfg.Scope, cfg.Logger = audit.NewRegistry(), audit.ScopeAll, slog.New(slog.DiscardHandler)
	if err := cfg.Registry.Register(&customer{}); err != nil {
		t.Fatal(err)
	}
	a := audit.New(cfg)
	if err := db.Use(a); err != nil {
		t.Fatal(err)
	}
	return db, a
}

// store makes a store on the real OpenSearch for records of now.
func newStore(t *testing.T) *opensearch.Store {
	t.Helper()
	address := testservers.OpenSearch(t)
	prefix := testservers.Name(t, "t-telemetry-")
	s, err := opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer func() { _ = s.Close() }()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodDelete, address+"/"+prefix+"-"+time.Now().UTC().Format("2006.01"), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
		}
	})
	return s
}

// TestTrace_goesAllTheWay: two requests, of which each is one trace from the handler through the spool, RabbitMQ and the
// consumer into OpenSearch.
func TestTrace_goesAllTheWay(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	p := telemetry.Providers{Tracer: provider}
	source, dead := rabbittest.Stream(t), rabbittest.Stream(t)
	records := newStore(t)
	letters, err := rabbit.NewAppender(dead)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = letters.Close() })
	queue, err := spool.Open(t.TempDir(), spool.Config{Service: "shop", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = queue.Close() })

	// Requests.
	db, _ := application(t, audit.Config{Sink: queue, Tracer: p.AuditTracer(), SkipSelf: true})
	requests := make([]trace.SpanContext, 2)
	for i := range requests {
		ctx, span := provider.Tracer("shop").Start(t.Context(), "POST /customers")
		requests[i] = span.SpanContext()
		err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			row := customer{Phone: "1"}
			if err := tx.Create(&row).Error; err != nil {
				return err
			}
			return tx.Model(&row).Update("phone", "2").Error
		})
		if err != nil {
			t.Fatal(err)
		}
		span.End()
	}
	if err := db.Create(&customer{Phone: "of nobody"}).Error; err != nil { // without a trace
		t.Fatal(err)
	}

	// The relay.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	service, err := relay.Start(queue, p.Dial(rabbit.Dialer(source), source.Stream), relay.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}

	// The consumer.
	dial := func(ctx context.Context) (consumer.Source, error) {
		return rabbit.NewSource(ctx, source, "trace", stream.SourceOptions{})
	}
	c, err := consumer.New(dial, p.Store(records), letters, consumer.Config{Stream: source.Stream, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(run) }()
	await.Until(t, "all records are stored", func() bool { return c.Stats().Stored == 5 })
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	all := spans.GetSpans()
	for _, request := range requests {
		checkTrace(t, all, request, source.Stream)
		checkStored(t, records, request)
	}
	// The spans of the batches are linked to both requests.
	for _, name := range []string{"send " + source.Stream, "write"} {
		linked := map[trace.SpanID]bool{}
		for _, s := range all {
			if s.Name == name && !s.Parent.IsValid() {
				for _, l := range s.Links {
					linked[l.SpanContext.SpanID()] = true
				}
			}
		}
		if len(linked) != 2 || !linked[requests[0].SpanID()] || !linked[requests[1].SpanID()] {
			t.Errorf("%s: linked to %v, want the two requests", name, linked)
		}
	}
}

// checkTrace looks at the spans of one trace: which there are, and what they are children of.
func checkTrace(t *testing.T, all tracetest.SpanStubs, request trace.SpanContext, source string) {
	t.Helper()
	names := map[trace.SpanID]string{}
	for _, s := range all {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var got []string
	for _, s := range all {
		if s.SpanContext.TraceID() != request.TraceID() {
			continue
		}
		got = append(got, s.Name+" < "+names[s.Parent.SpanID()])
		for _, a := range s.Attributes {
			if a.Key == "audit.records" && a.Value.AsInt64() != 2 {
				t.Errorf("%s: %d records, want the 2 of the request", s.Name, a.Value.AsInt64())
			}
		}
		if s.EndTime.Before(s.StartTime) {
			t.Errorf("%s ends before it begins", s.Name)
		}
	}
	slices.Sort(got)
	want := []string{
		"POST /customers < ", "audit write < POST /customers", "process " + source + " < POST /customers",
		"send " + source + " < POST /customers", "write < process " + source,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans of the trace (-want +got):\n%s", diff)
	}
}

// checkStored looks for the records of the trace in OpenSearch.
func checkStored(t *testing.T, s *opensearch.Store, request trace.SpanContext) {
	t.Helper()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := s.Search(t.Context(), store.Query{Size: 10, Filters: []store.Filter{{Field: store.FieldTraceID, Values: []string{request.TraceID().String()}}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != 2 {
		t.Errorf("trace %s has %d records in the store, want 2", request.TraceID(), len(page.Records))
	}
	for _, r := range page.Records {
		full, err := s.Get(t.Context(), r.LogID)
		if err != nil || full.SpanID != request.SpanID().String() {
			t.Errorf("record %s has span %q, %v, want %s", r.LogID, full.SpanID, err, request.SpanID())
		}
	}
}

// refusing is a store that takes nothing, or says that records are unfit.
type refusing struct{ err error }

func (s refusing) Write(_ context.Context, docs []store.Doc) ([]store.Result, error) {
	return make([]store.Result, len(docs)), s.err
}

// TestStore_manyOrigins: a batch of more traces than MaxOrigins has so many links, and says how many there are.
func TestStore_manyOrigins(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	p := telemetry.Providers{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}
	var docs []store.Doc
	for i := range telemetry.MaxOrigins + 10 {
		id := trace.TraceID{1, byte(i), byte(i >> 8)}
		docs = append(docs, store.Doc{Record: event.Record{TraceID: id.String(), SpanID: "00f067aa0ba902b7", Stream: "s"}})
		docs = append(docs, docs[len(docs)-1])
	}
	docs = append(docs, store.Doc{Record: event.Record{TraceID: "none", SpanID: "of ours"}}, store.Doc{})
	if _, err := p.Store(refusing{}).Write(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	batches, processes := 0, 0
	for _, s := range spans.GetSpans() {
		switch {
		case s.Name == "process s":
			processes++
		case s.Name == "write" && !s.Parent.IsValid():
			batches++
			if len(s.Links) != telemetry.MaxOrigins || !slices.Contains(s.Attributes, attribute.Int("audit.origins", telemetry.MaxOrigins+10)) {
				t.Errorf("%d links, attributes %v", len(s.Links), s.Attributes)
			}
		}
	}
	if batches != 1 || processes != telemetry.MaxOrigins {
		t.Errorf("%d spans of batches and %d of traces", batches, processes)
	}
}

// TestProviders_none: without providers nothing is wrapped, and everything works.
func TestProviders_none(t *testing.T) {
	t.Parallel()
	var p telemetry.Providers
	if s := p.Store(refusing{}); s != (refusing{}) {
		t.Errorf("the store is a %T", s)
	}
	db, a := application(t, audit.Config{Tracer: p.AuditTracer()})
	stop, err := p.Register(telemetry.Auditor(a))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&customer{}).Error; err != nil || a.Stats().Emitted != 1 {
		t.Errorf("%v, %+v", err, a.Stats())
	}
	p.Query()(t.Context(), "GET", "/search", 200, time.Second)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestDial_keepsWhatTheRelayLooksFor: a publisher that knows the last sequence of its name still does, so that a name that
// somebody else uses is found out.
func TestDial_keepsWhatTheRelayLooksFor(t *testing.T) {
	t.Parallel()
	source := rabbittest.Stream(t)
	p := telemetry.Providers{Tracer: sdktrace.NewTracerProvider()}
	publisher, err := p.Dial(rabbit.Dialer(source), source.Stream)(t.Context(), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = publisher.Close() }()
	k, ok := publisher.(interface {
		LastSeq(ctx context.Context) (uint64, error)
	})
	if !ok {
		t.Fatal("LastSeq is hidden")
	}
	if last, err := k.LastSeq(t.Context()); err != nil || last != 0 {
		t.Errorf("%d, %v", last, err)
	}
}
