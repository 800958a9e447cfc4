package telemetry

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
)

// still gives a source of numbers that stand still.
func still[S any](numbers []number[S], s S) Source {
	return &source[S]{numbers: numbers, read: live(func() S { return s }), attributes: func(S) []attribute.KeyValue { return nil }}
}

type taking struct{}

func (taking) Write(_ context.Context, docs []store.Doc) ([]store.Result, error) {
	return make([]store.Result, len(docs)), nil
}

// everything reports every metric that there is to the provider.
func everything(t *testing.T, provider *sdk.MeterProvider) {
	t.Helper()
	p := Providers{Meter: provider}
	_, err := p.Register(
		still(captureNumbers, audit.Stats{Skipped: map[string]map[string]int64{"customers": {"raw SQL": 1}}}),
		still(queueNumbers, queued{
			kind: "all", refused: map[string]uint64{"full": 1},
			spool: &spool.Stats{Indexed: 1, Acknowledged: 3, FreeBytes: 7, Problem: spool.ProblemFull}, outbox: &outbox.Stats{OldestTransactionKnown: true, OldestTransaction: time.Second},
		}),
		still(relayNumbers, relay.Stats{}), still(consumerNumbers, consumer.Stats{}), still(accountNumbers, accounting.Account{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Store(taking{}).Write(t.Context(), []store.Doc{{}}); err != nil {
		t.Fatal(err)
	}
	_, done := p.AuditTracer().Write(t.Context(), "sink", []event.Record{{}})
	done(nil)
	p.Query()(t.Context(), "GET", "/search", 200, time.Second)
}

// row is a line of the table in docs/metrics.md: name for OpenTelemetry, name for Prometheus, kind and unit.
var row = regexp.MustCompile("(?m)^\\| `(audit\\.[a-z.]+)` \\| `(audit_[a-z_]+)` \\| ([a-z]+) \\| ([^|]+) \\| ([^|]{15,}) \\| ([^|]{5,}) \\|$")

// TestMetrics_areThoseOfTheDocument: docs/metrics.md and the code name the same metrics, of the same kind and unit.
func TestMetrics_areThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	registry := prometheus.NewRegistry()
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	everything(t, sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithReader(exporter)))
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	code := map[string]string{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			kind := "gauge"
			switch d := m.Data.(type) {
			case metricdata.Sum[float64]:
				kind = "updown"
				if d.IsMonotonic {
					kind = "counter"
				}
			case metricdata.Sum[int64]:
				kind = "counter"
			case metricdata.Histogram[float64]:
				kind = "histogram"
			}
			unit := m.Unit
			if unit == "" {
				unit = "0 or 1"
			}
			code[m.Name] = kind + " " + strings.Trim(unit, "{}")
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var scraped []string
	for _, f := range families {
		scraped = append(scraped, f.GetName())
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, exported := map[string]string{}, []string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		if documented[m[1]] != "" {
			t.Errorf("%s stands there twice", m[1])
		}
		documented[m[1]] = m[3] + " " + m[4]
		exported = append(exported, m[2])
	}
	if diff := cmp.Diff(code, documented); diff != "" {
		t.Errorf("metrics of the code and of docs/metrics.md (-code +document):\n%s", diff)
	}
	slices.Sort(exported)
	if diff := cmp.Diff(scraped, exported); diff != "" {
		t.Errorf("names for Prometheus (-code +document):\n%s", diff)
	}
	var account strings.Builder
	if err := accounting.WriteText(&account, []accounting.Account{{Producer: "p"}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(account.String(), -1) {
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/metrics.md does not name %s of accounting.WriteText", m[1])
		}
	}
	if len(code) < 50 {
		t.Errorf("only %d metrics: %v", len(code), slices.Sorted(maps.Keys(code)))
	}
}

// TestQueue_reportsWhatIsKnownOnly: what nobody knows has no value, rather than a wrong one.
func TestQueue_reportsWhatIsKnownOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		q    queued
		want []string // of those that depend on what is known
	}{
		"memory":                        {queued{}, nil},
		"spool that nobody told":        {queued{spool: &spool.Stats{FreeBytes: math.MaxInt64}}, nil},
		"spool with watermarks":         {queued{spool: &spool.Stats{Indexed: 1, FreeBytes: 1}}, []string{"audit.queue.unindexed", "audit.spool.disk.free"}},
		"outbox without the privilege":  {queued{outbox: &outbox.Stats{}}, nil},
		"outbox that sees transactions": {queued{outbox: &outbox.Stats{OldestTransactionKnown: true}}, []string{"audit.outbox.transaction.age"}},
	} {
		var got []string
		for _, n := range queueNumbers {
			switch n.name {
			case "audit.queue.unindexed", "audit.spool.disk.free", "audit.outbox.transaction.age":
				n.each(c.q, func(float64, ...attribute.KeyValue) { got = append(got, n.name) })
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestRegister_stops: after stop nothing is reported, and a source that fails does not hide the others.
func TestRegister_stops(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	p := Providers{Meter: sdk.NewMeterProvider(sdk.WithReader(reader))}
	bad := errors.New("database is away")
	stop, err := p.Register(still(relayNumbers, relay.Stats{Sent: 3}), queueSource(func(context.Context) ([]queued, error) { return nil, bad }))
	if err != nil {
		t.Fatal(err)
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); !errors.Is(err, bad) {
		t.Errorf("collected with %v, want the error of the source", err)
	}
	if n := len(data.ScopeMetrics); n != 1 || len(data.ScopeMetrics[0].Metrics) != len(relayNumbers) {
		t.Errorf("%d scopes: %+v", n, data.ScopeMetrics)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	data = metricdata.ResourceMetrics{}
	if err := reader.Collect(t.Context(), &data); err != nil || len(data.ScopeMetrics) != 0 {
		t.Errorf("after stop: %v, %+v", err, data.ScopeMetrics)
	}
}
