// Package telemetry tells OpenTelemetry how auditing goes: metrics of the numbers that the packages count
// anyway, and spans that carry the trace of a request through the stream and the consumer into the store.
// It needs the API of OpenTelemetry only, and no other package of this module needs any of it: who does not
// import telemetry pays nothing.
//
//	p := telemetry.Providers{Meter: otel.GetMeterProvider(), Tracer: otel.GetTracerProvider()}
//	auditor := audit.New(audit.Config{Sink: queue, Tracer: p.AuditTracer()})
//	stop, err := p.Register(telemetry.Auditor(auditor), telemetry.Spool(queue), telemetry.Relay(queue.Producer(), service))
//
// # Metrics
//
// Register reads Stats whenever the metrics are collected; nothing is counted twice, and no write waits for it.
// Only durations are measured on the way: by Store, for a consumer, and by Query, for the query API.
// docs/metrics.md has every metric with its unit, what it means and what to do about it.
//
// # Traces
//
// A record keeps the ids of the trace and the span in which the change was made (trace_id and span_id):
// AuditTracer takes them from the context of the statement. Dial and Store make a span for each batch, as it
// belongs to many traces, and one for each origin in its own trace, linked to that of the batch: "send" when the
// relay hands its records to the broker, "process" from when the consumer has read them to when they are
// stored, and "write" within. Records written twice give spans twice.
//
// A record does not say whether its trace is sampled. Give all programs the same sampler that decides by the
// trace id (OTEL_TRACES_SAMPLER=parentbased_traceidratio in the application and traceidratio in relay and consumer, with one
// OTEL_TRACES_SAMPLER_ARG): then a trace is whole or not there.
//
// # Errors
//
// Register gives the errors of the MeterProvider. Nothing else fails: a number that cannot be read, such as that
// of an outbox whose database is away, is an error of the collection and not there in it.
//
// # Concurrency
//
// Everything may be used concurrently.
//
// # Limits
//
// A span of a batch has at most MaxOrigins links, and as many origins have spans of their own; its attribute
// audit.origins says how many there were.
// No metric and no span has content of records, names of users or keys of rows: attributes are names of
// tables, streams, producers and routes, and the classes that this package documents. A span's status is
// the class of a failure and never the text of an error, which may quote values.
package telemetry
