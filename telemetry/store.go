package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store"
)

// Store gives a store for a consumer that measures each write (audit.store.write.duration, .size and
// .records) and makes its spans: "write" of the batch, and in each trace whose records are in it "process",
// from when they were read from the stream, with "write" within. Without any provider it gives next itself.
func (p Providers) Store(next consumer.Store) consumer.Store {
	if p.Meter == nil && p.Tracer == nil {
		return next
	}
	s := &observedStore{
		next:     next,
		duration: p.histogram("audit.store.write.duration", "s", "How long the store took for a batch.", durations),
		size:     p.histogram("audit.store.write.size", "{record}", "Records written to the store at once.", []float64{1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000}),
	}
	var err error
	if s.records, err = p.meter().Int64Counter("audit.store.write.records", metric.WithUnit("{record}"), metric.WithDescription("What the store said of each record that was written to it.")); err != nil {
		s.records, _ = Providers{}.meter().Int64Counter("none") // of no provider: it cannot fail
	}
	if p.Tracer != nil {
		s.tracer = p.Tracer.Tracer(Scope)
	}
	for status := store.Stored; status <= store.Poison; status++ { // so that the first of each is a rise from 0
		s.records.Add(context.Background(), 0, outcomeOf(status)) //nolint:forbidigo // belongs to no request
	}
	return s
}

type observedStore struct {
	next           consumer.Store
	tracer         trace.Tracer // nil: none
	duration, size metric.Float64Histogram
	records        metric.Int64Counter
}

func outcomeOf(s store.Status) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("outcome", s.String()))
}

// Write implements consumer.Store.
func (s *observedStore) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	start := time.Now() //nolint:forbidigo // spans are on the clock of their exporter
	results, err := s.next.Write(ctx, docs)
	end := time.Now() //nolint:forbidigo // as above
	counts := make(map[store.Status]int64)
	for _, r := range results {
		counts[r.Status]++
	}
	class := ""
	switch {
	case err != nil:
		class = "failed"
	case int64(len(results)) != counts[store.Stored]+counts[store.Duplicate]:
		class = "partial"
	}
	outcome := class
	if outcome == "" {
		outcome = "ok"
	}
	for status, n := range counts {
		s.records.Add(ctx, n, outcomeOf(status))
	}
	s.size.Record(ctx, float64(len(docs)))
	s.duration.Record(ctx, end.Sub(start).Seconds(), metric.WithAttributes(attribute.String("outcome", outcome)))
	if s.tracer != nil {
		s.trace(ctx, docs, start, end, class)
	}
	return results, err
}

// trace makes the spans of a write that is over.
func (s *observedStore) trace(ctx context.Context, docs []store.Doc, start, end time.Time, class string) {
	var from origins
	for i := range docs {
		r := &docs[i].Record
		from.add(r, r.IngestedAt)
	}
	if len(from.list) == 0 {
		return
	}
	over := func(span trace.Span) {
		if class != "" {
			failed(span, class)
		}
		span.End(trace.WithTimestamp(end))
	}
	source := docs[0].Record.Stream
	attributes := []attribute.KeyValue{
		attribute.String("messaging.destination.name", source), attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
	}
	_, batch := s.tracer.Start(ctx, "write", trace.WithNewRoot(), trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(from.links()...),
		trace.WithAttributes(from.attributes()...), trace.WithAttributes(attribute.Int("audit.records", len(docs))))
	link := trace.WithLinks(trace.Link{SpanContext: batch.SpanContext()})
	for _, o := range from.list {
		began := o.began
		if began.IsZero() || began.After(start) { // the consumer's clock may be another
			began = start
		}
		within, process := s.tracer.Start(o.in(ctx), "process "+source, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attributes...), trace.WithAttributes(attribute.Int("audit.records", o.records)))
		_, write := s.tracer.Start(within, "write", trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindClient), link)
		over(write)
		over(process)
	}
	over(batch)
}
