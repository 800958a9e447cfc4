package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// auditTracer is an audit.Tracer.
type auditTracer struct {
	tracer   trace.Tracer
	duration metric.Float64Histogram
}

var _ audit.Tracer = (*auditTracer)(nil)

// AuditTracer gives what goes into audit.Config.Tracer: records have the trace and the span of the context in
// which the change was made, and each write to a sink is a span of that trace and a value of the metric
// audit.sink.duration. A span is made only where one is recording already. A metric that the
// MeterProvider refuses is left out.
func (p Providers) AuditTracer() audit.Tracer {
	t := &auditTracer{duration: p.histogram("audit.sink.duration", "s", "How long a sink took for the records of a transaction.", durations)}
	if p.Tracer != nil {
		t.tracer = p.Tracer.Tracer(Scope)
	}
	return t
}

// durations are the bounds of histograms of seconds.
var durations = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// histogram gives a histogram, or one that does nothing.
func (p Providers) histogram(name, unit, help string, bounds []float64) metric.Float64Histogram {
	h, err := p.meter().Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(bounds...))
	if err != nil {
		h, _ = Providers{}.meter().Float64Histogram(name) // of no provider: it cannot fail
	}
	return h
}

// Span implements audit.Tracer.
func (t *auditTracer) Span(ctx context.Context) (traceID, spanID string) {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		return span.TraceID().String(), span.SpanID().String()
	}
	return "", ""
}

// Write implements audit.Tracer.
func (t *auditTracer) Write(ctx context.Context, sink string, records []event.Record) (context.Context, func(error)) {
	start := time.Now() //nolint:forbidigo // a duration, of the monotonic clock
	var span trace.Span
	if t.tracer != nil && trace.SpanFromContext(ctx).IsRecording() {
		ctx, span = t.tracer.Start(ctx, "audit write", trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithAttributes(attribute.String("audit.sink", sink), attribute.Int("audit.records", len(records))))
	}
	return ctx, func(err error) {
		outcome := "ok"
		if err != nil {
			outcome = "failed"
			if errors.Is(err, audit.ErrShutdown) {
				outcome = "shutdown"
			}
		}
		t.duration.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attribute.String("outcome", outcome)))
		if span == nil {
			return
		}
		if err != nil {
			failed(span, outcome)
		}
		span.End()
	}
}
