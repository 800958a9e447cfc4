package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream/rabbit"
)

// background runs a service that says in its log where it listens.
func background(t *testing.T, variables map[string]string, args ...string) (address string, stop func()) {
	t.Helper()
	p, _, stderr := program(variables, append([]string{"--env-file="}, args...)...)
	addresses := make(chan string, 1)
	p.Stderr = io.MultiWriter(stderr, lineWriter(func(line string) {
		if _, a, ok := strings.Cut(line, " listen="); ok && strings.Contains(line, "says how it is") {
			addresses <- strings.TrimSpace(a)
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- Main(ctx, p) }()
	select {
	case address = <-addresses:
	case code := <-done:
		t.Fatalf("code %d\n%s", code, stderr.String())
	}
	return "http://" + address, func() {
		cancel()
		if code := <-done; code != ExitOK {
			t.Errorf("code %d\n%s", code, stderr.String())
		}
	}
}

// shows reports whether the metrics at the address have the line.
func shows(t *testing.T, address, line string) func() bool {
	return func() bool {
		status, body := request(t, http.MethodGet, address+"/metrics", "")
		return status == http.StatusOK && strings.Contains("\n"+body, "\n"+line+"\n")
	}
}

// collector is what takes OTLP over HTTP.
type collector struct {
	mu     sync.Mutex
	bodies bytes.Buffer
	paths  []string
	keys   []string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.Copy(&c.bodies, r.Body)
	c.paths, c.keys = append(c.paths, r.URL.Path), append(c.keys, r.Header.Get("X-Key"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// has reports whether a trace id has come.
func (c *collector) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := hex.DecodeString(id)
	return err == nil && bytes.Contains(c.bodies.Bytes(), raw)
}

// TestConsume_metricsAndTraces: the numbers of real records, and their traces at a collector.
func TestConsume_metricsAndTraces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	data, err := event.Encode(event.Record{LogID: "traced", Timestamp: november, Action: event.ActionAdd, ObjectType: "customer", ObjectID: "1", TraceID: traceID, SpanID: "00f067aa0ba902b7"})
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, 10, data, []byte("garbage"))
	collected := &collector{}
	server := httptest.NewServer(collected)
	defer server.Close()
	variables := r.with(envOTLP, server.URL)
	variables[envOTLPHeaders] = "x-key=secret, other=1"
	address, stop := background(t, variables, "consume", "--dead-letters", r.dead.Stream, "--listen", "127.0.0.1:0", "--batch-age", "1ms")
	label := `{stream="` + r.source.Stream + `"}`
	await.Until(t, "the dead letter is counted", shows(t, address, `audit_consumer_dead_letters_total`+label+` 1`))
	await.Until(t, "the records are counted", shows(t, address, `audit_store_write_records_total{outcome="stored"} 11`))
	await.Until(t, "it runs", shows(t, address, `audit_consumer_state{state="running",stream="`+r.source.Stream+`"} 1`))
	await.Until(t, "the process is there", func() bool {
		_, body := request(t, http.MethodGet, address+"/metrics", "")
		return strings.Contains(body, "\ngo_goroutines ") && strings.Contains(body, "\naudit_store_write_duration_seconds_bucket{")
	})
	stop() // sends what is left
	if !collected.has(traceID) {
		t.Errorf("the trace is not among the %d bytes that the collector got at %v", collected.bodies.Len(), collected.paths)
	}
	if collected.paths[0] != "/v1/traces" || collected.keys[0] != "secret" {
		t.Errorf("path %s, header %q", collected.paths[0], collected.keys[0])
	}
}

// TestRelay_metrics: of an outbox, and of a spool folder.
func TestRelay_metrics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	file, o := outboxFile(t, records(20))
	s, err := o.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, stop := background(t, r.variables, "relay", "--outbox", "sqlite:"+file, "--outbox-table", "events", "--listen", "127.0.0.1:0")
	producer := `producer="` + s.Producer + `"`
	await.Until(t, "all are confirmed", shows(t, address, `audit_relay_confirmed_total{`+producer+`} 20`))
	await.Until(t, "none waits", shows(t, address, `audit_queue_pending{`+producer+`,queue="outbox"} 0`))
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := request(t, http.MethodGet, address+path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	stop()

	address, stop = background(t, r.variables, "relay", "--spool", t.TempDir(), "--listen", "127.0.0.1:0")
	await.Until(t, "nothing was left", shows(t, address, `audit_relay_confirmed_total{producer=""} 0`))
	stop()

	// A broker that is not there.
	file, _ = outboxFile(t, records(1))
	address, stop = background(t, r.with("RABBITMQ_STREAM_PORT", "1"), "relay", "--outbox", "sqlite:"+file, "--outbox-table", "events", "--listen", "127.0.0.1:0")
	await.Until(t, "it is not ready, and says why", func() bool {
		status, body := request(t, http.MethodGet, address+"/readyz", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "refused")
	})
	stop()
}

// TestServe_metrics: beside the pages on this machine, at an address of their own if there is one, and nowhere else.
func TestServe_metrics(t *testing.T) {
	t.Parallel()
	file := trail(t, 3)
	variables := map[string]string{"AUDIT_API_TOKENS": "me=" + token, "AUDIT_DATABASE": "sqlite:" + file}
	const search = "/api/audit-logs/search/"
	line := `audit_query_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/search"} 1`
	address, stop := serve(t, variables)
	if status, body := request(t, http.MethodGet, address+search, token); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if !shows(t, address, line)() {
		_, body := request(t, http.MethodGet, address+"/metrics", "")
		t.Errorf("no %s in\n%s", line, body)
	}
	if status, _ := request(t, http.MethodGet, address+"/api/audit-logs/objects/a%2F%2Fb/c/history/", token); status != http.StatusOK {
		t.Errorf("an object type with slashes: %d", status)
	}
	stop()

	address, stop = serve(t, variables, "--metrics-listen", "127.0.0.1:0")
	if status, _ := request(t, http.MethodGet, address+"/metrics", ""); status != http.StatusNotFound {
		t.Errorf("/metrics beside the pages: %d, want 404: it has an address of its own", status)
	}
	stop()
	address, stop = serve(t, variables, "--listen", "0.0.0.0:0")
	if status, _ := request(t, http.MethodGet, address+"/metrics", ""); status != http.StatusNotFound {
		t.Errorf("/metrics for everybody: %d, want 404", status)
	}
	stop()
}

// TestObserve_wrongEndpoint: no command starts with an endpoint that cannot be one.
func TestObserve_wrongEndpoint(t *testing.T) {
	t.Parallel()
	r := execute(t.Context(), map[string]string{envOTLP: "s3cret@host:4317"}, "relay", "--spool", t.TempDir())
	if r.code != ExitUsage || !strings.Contains(r.stderr, envOTLP+" begins with neither") || strings.Contains(r.stderr, "s3cret") {
		t.Errorf("%+v", r)
	}
}
