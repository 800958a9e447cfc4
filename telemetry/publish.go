package telemetry

import (
	"bytes"
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream"
)

// Dial gives a DialFunc whose publishers make spans, named "send" and the destination: one for each batch and one
// in each trace whose records are in it. They end when the messages were handed to the broker, before it has
// confirmed them. Without a Tracer it gives next itself.
func (p Providers) Dial(next relay.DialFunc, destination string) relay.DialFunc {
	if p.Tracer == nil {
		return next
	}
	tracer := p.Tracer.Tracer(Scope)
	return func(ctx context.Context, producer string) (stream.Publisher, error) {
		publisher, err := next(ctx, producer)
		if err != nil {
			return nil, err
		}
		traced := &tracedPublisher{Publisher: publisher, tracer: tracer, destination: destination}
		if k, ok := publisher.(knower); ok {
			return &knowingPublisher{traced, k}, nil
		}
		return traced, nil
	}
}

// knower is what a publisher may have besides, and what the relay looks for.
type knower interface {
	LastSeq(ctx context.Context) (uint64, error)
}

type knowingPublisher struct {
	*tracedPublisher
	knower
}

type tracedPublisher struct {
	stream.Publisher

	tracer      trace.Tracer
	destination string
}

// Publish implements stream.Publisher.
func (p *tracedPublisher) Publish(ctx context.Context, messages []stream.Message) error {
	start := time.Now() //nolint:forbidigo // spans are on the clock of their exporter
	var from origins
	for _, m := range messages {
		// What has no trace is most of what comes from where nobody traces.
		if !bytes.Contains(m.Payload, []byte(`"trace_id"`)) {
			continue
		}
		if r, err := event.Decode(m.Payload); err == nil {
			from.add(&r, start)
		}
	}
	err := p.Publisher.Publish(ctx, messages)
	if len(from.list) == 0 {
		return err
	}
	name := "send " + p.destination
	attributes := []attribute.KeyValue{
		attribute.String("messaging.destination.name", p.destination), attribute.String("messaging.operation.name", "send"),
		attribute.String("messaging.operation.type", "send"),
	}
	end := func(span trace.Span) {
		if err != nil {
			failed(span, "publish")
		}
		span.End()
	}
	_, batch := p.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(from.links()...),
		trace.WithAttributes(append(from.attributes(), attributes...)...), trace.WithAttributes(attribute.Int("messaging.batch.message_count", len(messages))))
	for _, o := range from.list {
		_, span := p.tracer.Start(o.in(ctx), name, trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindProducer),
			trace.WithLinks(trace.Link{SpanContext: batch.SpanContext()}), trace.WithAttributes(attributes...),
			trace.WithAttributes(attribute.Int("audit.records", o.records)))
		end(span)
	}
	end(batch)
	return err
}
