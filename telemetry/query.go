package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Query gives what goes into query.Options.Observe: how long each request took, by method, route and status.
func (p Providers) Query() func(ctx context.Context, method, route string, status int, took time.Duration) {
	duration := p.histogram("audit.query.request.duration", "s", "How long requests to the query API took.", durations)
	return func(ctx context.Context, method, route string, status int, took time.Duration) {
		duration.Record(ctx, took.Seconds(), metric.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("http.route", route), attribute.Int("http.response.status_code", status)))
	}
}
