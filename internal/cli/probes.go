package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gormtrail/audit/consumer"
)

// pingTimeout is how long the store may take to say that it is there.
const pingTimeout = 5 * time.Second

// runAndTell runs the services, and says over HTTP how they are.
func runAndTell(ctx context.Context, c *common, f consumeFlags, services []*consumer.Consumer, to interface{ Ping(context.Context) error }, metrics http.Handler) error {
	return beside(ctx, c, f.listen, probes(services, to, f.readyMaxLag, metrics), func(ctx context.Context) error { return runAll(ctx, services) })
}

// probes gives what an orchestrator and an operator ask.
func probes(services []*consumer.Consumer, to interface{ Ping(context.Context) error }, maxLag int64, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		var errs []error
		for _, service := range services {
			errs = append(errs, service.Health())
		}
		answer(w, errors.Join(errs...))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		var errs []error
		for _, service := range services {
			errs = append(errs, service.Ready(maxLag))
		}
		asking, cancel := context.WithTimeout(r.Context(), pingTimeout)
		defer cancel()
		answer(w, errors.Join(append(errs, to.Ping(asking))...))
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		all := make([]consumer.Stats, len(services)) // a list also of one: each partition has its own
		for i, service := range services {
			all[i] = service.Stats()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
	return mux
}

// answer says ok, or 503 and what is wrong, a line for each.
func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
