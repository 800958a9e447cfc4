package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gormtrail/audit/consumer"
)

// pingTimeout is how long the store may take to say that it is there.
const pingTimeout = 5 * time.Second

// runAndTell runs the services, and says over HTTP how they are.
func runAndTell(ctx context.Context, c *common, f consumeFlags, services []*consumer.Consumer, to interface{ Ping(context.Context) error }) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		served <- listen(ctx, c, f.listen, probes(services, to, f.readyMaxLag), func(address string) {
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
	err := runAll(ctx, services)
	cancel()
	return errors.Join(err, <-served)
}

// probes gives what an orchestrator and an operator ask.
func probes(services []*consumer.Consumer, to interface{ Ping(context.Context) error }, maxLag int64) http.Handler {
	mux := http.NewServeMux()
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
