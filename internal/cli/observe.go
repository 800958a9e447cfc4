package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/gormtrail/audit/telemetry"
)

// Variables of OpenTelemetry that may also stand in the file of --env-file. Its other variables, such as those of
// the sampler, are read from the environment alone.
const (
	envOTLP        = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envOTLPTraces  = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envOTLPHeaders = "OTEL_EXPORTER_OTLP_HEADERS"
	envOTELService = "OTEL_SERVICE_NAME"
)

const tracesHelp = `

With OTEL_EXPORTER_OTLP_ENDPOINT, such as http://localhost:4318, the spans of its work go there by OTLP over
HTTP, as children of the spans of the requests that made the records.`

// observed is where a service tells its numbers and spans.
type observed struct {
	telemetry.Providers

	handler http.Handler // /metrics
	close   func(ctx context.Context) error
}

// flushTimeout bounds how long the last spans may take on their way.
const flushTimeout = 5 * time.Second

// observe makes the metrics of the program, and its spans if there is somewhere to send them. service is the
// name under which these come, unless OTEL_SERVICE_NAME is set.
func observe(ctx context.Context, c *common, service string) (*observed, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("make /metrics: %w", err)
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	o := &observed{handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	})}
	o.Meter, o.close = meters, meters.Shutdown
	target, err := traceEndpoint(c.getenv)
	if err != nil {
		return nil, errors.Join(err, o.close(ctx))
	}
	if target == "" {
		return o, nil
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(target)}
	if headers := traceHeaders(c.getenv(envOTLPHeaders)); len(headers) > 0 && os.Getenv(envOTLPHeaders) == "" {
		options = append(options, otlptracehttp.WithHeaders(headers))
	}
	spans, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("send traces to %s: %w", envOTLP, err), o.close(ctx))
	}
	if name := c.getenv(envOTELService); name != "" {
		service = name
	}
	about := resource.NewSchemaless(attribute.String("service.name", service), attribute.String("service.version", strings.Fields(versionText())[1]))
	traces := trace.NewTracerProvider(trace.WithBatcher(spans), trace.WithResource(about))
	o.Tracer = traces
	o.close = func(ctx context.Context) error { return errors.Join(traces.Shutdown(ctx), meters.Shutdown(ctx)) }
	return o, nil
}

// tellAt serves the metrics and what else handler has at the address until run ends, and gives its error.
// Without an address it only runs.
func (o *observed) tellAt(ctx context.Context, c *common, address string, ready func() error, run func(context.Context) error) error {
	if address == "" {
		return run(ctx)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.handler)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, ready()) })
	return beside(ctx, c, address, mux, run)
}

// beside runs what run runs, and serves handler at the address as long as it does.
func beside(ctx context.Context, c *common, address string, handler http.Handler, run func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		served <- listen(ctx, c, address, handler, func(address string) {
			c.log.InfoContext(ctx, "says how it is", slog.String("listen", address))
			close(ready)
		})
		cancel() // without it nobody would see whether records flow
	}()
	select {
	case <-ready:
	case err := <-served:
		return err
	}
	err := run(ctx)
	cancel()
	return errors.Join(err, <-served)
}

// traceEndpoint gives where traces go, "" for nowhere. Credentials in it are not repeated in the error.
func traceEndpoint(getenv func(string) string) (string, error) {
	name, target := envOTLPTraces, getenv(envOTLPTraces)
	if target == "" {
		if name, target = envOTLP, getenv(envOTLP); target != "" {
			target = strings.TrimSuffix(target, "/") + "/v1/traces"
		}
	}
	if target != "" && !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		return "", usagef("%s begins with neither http:// nor https://: want the address of a collector that takes OTLP over HTTP, such as http://localhost:4318", name)
	}
	return target, nil
}

// traceHeaders reads name=value, with commas between them.
func traceHeaders(text string) map[string]string {
	headers := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return headers
}

// stop sends what is left. A collector that is not there loses spans and nothing else.
func (o *observed) stop(ctx context.Context, c *common) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := o.close(ctx); err != nil {
		c.log.WarnContext(ctx, "the last traces could not be sent", slog.Any("error", err))
	}
}
