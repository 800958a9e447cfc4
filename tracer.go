package audit

import (
	"context"

	"github.com/gormtrail/audit/event"
)

// Tracer links records to the traces of the application; the package telemetry has one for OpenTelemetry.
// Its methods are called concurrently, must be fast, and must not use the database. A panic in them is
// recovered and counted.
type Tracer interface {
	// Span gives the trace and the span that ctx belongs to, in hex as a record has them, and "" for none.
	// It is asked once for each statement.
	Span(ctx context.Context) (traceID, spanID string)
	// Write is told that records are handed to a sink, and gives the context for it and what to call with
	// the sink's answer. Both may be ctx and nil. It must not keep or change the records.
	Write(ctx context.Context, sink string, records []event.Record) (context.Context, func(error))
}

// traced puts the trace and span of ctx into w. They are more exact than the header traceparent, which names
// the caller's span.
func (h *handle) traced(ctx context.Context, w *who) {
	tracer := h.auditor.cfg.Tracer
	if tracer == nil {
		return
	}
	err := guard("Config.Tracer", func() error {
		if trace, span := tracer.Span(ctx); trace != "" {
			w.request.TraceID, w.request.SpanID = trace, span
		}
		return nil
	})
	h.auditor.report(ctx, KindHook, err)
}

// tracedWrite calls f, which hands the records to the sink.
func (h *handle) tracedWrite(ctx context.Context, sink string, records []event.Record, f func(context.Context) error) error {
	tracer := h.auditor.cfg.Tracer
	if tracer == nil {
		return f(ctx)
	}
	within := ctx
	var done func(error)
	err := guard("Config.Tracer", func() error {
		if c, ended := tracer.Write(ctx, sink, records); c != nil {
			within, done = c, ended //nolint:fatcontext // once: it is no loop
		}
		return nil
	})
	h.auditor.report(ctx, KindHook, err)
	failed := f(within)
	if done != nil {
		h.auditor.report(ctx, KindHook, guard("Config.Tracer", func() error { done(failed); return nil }))
	}
	return failed
}
