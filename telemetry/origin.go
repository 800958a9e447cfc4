package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gormtrail/audit/event"
)

// MaxOrigins is to how many spans of requests the span of a batch is linked at most.
const MaxOrigins = 128

// origin is a span in which changes were made.
type origin struct {
	span    trace.SpanContext
	records int
	began   time.Time // of the first of them
}

// origins are those of a batch, in the order in which they came.
type origins struct {
	list  []origin
	index map[spanKey]int
	more  map[spanKey]struct{}
}

// spanKey identifies a span.
type spanKey struct {
	trace trace.TraceID
	span  trace.SpanID
}

// add notes a record.
func (o *origins) add(r *event.Record, began time.Time) {
	span, ok := spanOf(r)
	if !ok {
		return
	}
	key := spanKey{span.TraceID(), span.SpanID()}
	if i, known := o.index[key]; known {
		o.list[i].records++
		return
	}
	if len(o.list) == MaxOrigins {
		if o.more == nil {
			o.more = make(map[spanKey]struct{})
		}
		o.more[key] = struct{}{}
		return
	}
	if o.index == nil {
		o.index = make(map[spanKey]int)
	}
	o.index[key] = len(o.list)
	o.list = append(o.list, origin{span: span, records: 1, began: began})
}

// spanOf gives the span that a record names. That its trace is sampled is assumed: the sampler here decides
// by the same id.
func spanOf(r *event.Record) (trace.SpanContext, bool) {
	traceID, err1 := trace.TraceIDFromHex(r.TraceID)
	spanID, err2 := trace.SpanIDFromHex(r.SpanID)
	if err1 != nil || err2 != nil {
		return trace.SpanContext{}, false
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled, Remote: true}), true
}

// links gives the links to all of them.
func (o *origins) links() []trace.Link {
	links := make([]trace.Link, len(o.list))
	for i, origin := range o.list {
		links[i] = trace.Link{SpanContext: origin.span}
	}
	return links
}

// attributes says how many there were.
func (o *origins) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.Int("audit.origins", len(o.list)+len(o.more))}
}

// in gives ctx with the origin as the span that the next one is a child of.
func (o origin) in(ctx context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, o.span)
}

// failed gives the span a failure by its class; an error's text may quote values.
func failed(span trace.Span, class string) {
	span.SetStatus(codes.Error, class)
	span.SetAttributes(attribute.String("error.type", class))
}
