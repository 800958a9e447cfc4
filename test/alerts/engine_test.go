package alerts_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/gormtrail/audit/telemetry"
)

// sample is a value at a time in milliseconds.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                    { return s.t }
func (s sample) F() float64                  { return s.v }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// database is what Prometheus would have scraped.
type database struct {
	registry *prometheus.Registry
	provider *sdk.MeterProvider
	engine   *promql.Engine
	series   map[string]*series
}

// newDatabase makes one, and the exporter whose metrics it gets.
func newDatabase(t *testing.T) (*database, telemetry.Providers) {
	t.Helper()
	d := &database{
		registry: prometheus.NewRegistry(), series: map[string]*series{},
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute}),
	}
	t.Cleanup(func() { _ = d.engine.Close() })
	exporter, err := promexporter.New(promexporter.WithRegisterer(d.registry), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	d.provider = sdk.NewMeterProvider(sdk.WithReader(exporter))
	return d, telemetry.Providers{Meter: d.provider}
}

// scrape takes what the exporter shows as of a time.
func (d *database) scrape(t *testing.T, at time.Time) {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				d.add(at, f.GetName(), m, m.GetCounter().GetValue())
			case dto.MetricType_GAUGE:
				d.add(at, f.GetName(), m, m.GetGauge().GetValue())
			case dto.MetricType_HISTOGRAM:
				d.add(at, f.GetName()+"_count", m, float64(m.GetHistogram().GetSampleCount()))
				d.add(at, f.GetName()+"_sum", m, m.GetHistogram().GetSampleSum())
			default:
				t.Fatalf("%s is a %v", f.GetName(), f.GetType())
			}
		}
	}
}

func (d *database) add(at time.Time, name string, m *dto.Metric, value float64) {
	b := labels.NewScratchBuilder(8)
	b.Add(labels.MetricName, name)
	b.Add("job", "audit")
	b.Add("instance", "test")
	for _, l := range m.GetLabel() {
		b.Add(l.GetName(), l.GetValue())
	}
	b.Sort()
	set := b.Labels()
	s := d.series[set.String()]
	if s == nil {
		s = &series{labels: set}
		d.series[set.String()] = s
	}
	s.samples = append(s.samples, sample{at.UnixMilli(), value})
}

// ask evaluates an expression as of a time.
func (d *database) ask(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := d.engine.NewInstantQuery(t.Context(), d, promql.NewPrometheusQueryOpts(false, 0), expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	vector, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(vector)
}

// Querier implements storage.Queryable.
func (d *database) Querier(_, _ int64) (storage.Querier, error) { return querier{d}, nil }

type querier struct{ d *database }

// Select implements storage.Querier.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range q.d.series {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			found = append(found, storage.NewListSeries(s.labels, s.samples))
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return strings.Compare(a.Labels().String(), b.Labels().String()) })
	return &set{list: found}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}
func (querier) Close() error { return nil }

// set is a storage.SeriesSet.
type set struct {
	list []storage.Series
	at   int
}

func (s *set) Next() bool                      { s.at++; return s.at <= len(s.list) }
func (s *set) At() storage.Series              { return s.list[s.at-1] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }
