package nethttp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/middleware/nethttp"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

type userKey struct{}

func identify(r *http.Request) (audit.Actor, bool) {
	id, ok := r.Context().Value(userKey{}).(string)
	return audit.Actor{ID: id}, ok
}

func TestHandler_givesTheFacts(t *testing.T) {
	t.Parallel()
	proxies, err := nethttp.ParseProxies("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	var got audit.Request
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /customers/{id}", func(_ http.ResponseWriter, r *http.Request) { got, _ = audit.RequestFrom(r.Context()) })
	h := nethttp.Handler(nethttp.Options{
		TrustedProxies: proxies, ForwardedHeader: "x-client", RequestIDHeader: "X-Correlation-ID",
		SessionKey: func(*http.Request) string { return "secret" }, SessionHashKey: []byte("key a"),
	})(mux)
	r := httptest.NewRequest(http.MethodPut, "/customers/7?secret=1", nil)
	r.Header.Set("X-Client", "203.0.113.9")
	r.Header.Set("X-Forwarded-For", "1.1.1.1")
	r.Header.Set("User-Agent", "Agent/1")
	r.Header.Set("X-Correlation-Id", "req-1")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	want := audit.Request{
		IPAddress: "203.0.113.9", UserAgent: "Agent/1", RequestID: "req-1",
		SessionKey: "c6d711a8c267314bf9281c4c8d309c78a1f79664cc0551880382b6713cd2bec9",
		TraceID:    "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7",
		Method: "PUT", Route: "/customers/{id}", Source: "api",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if id := w.Header().Get("X-Correlation-Id"); id != "req-1" {
		t.Errorf("the response has the request id %q", id)
	}
}

func TestHandler_findsTheRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wrap func(inner http.Handler) http.Handler
		want string
	}{
		{"around a mux", func(inner http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /a/{id}", inner)
			return nethttp.Handler(nethttp.Options{})(mux)
		}, "/a/{id}"},
		{"inside a mux", func(inner http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("example.com/a/{id}", nethttp.Handler(nethttp.Options{})(inner))
			return mux
		}, "/a/{id}"},
		{"around a mux inside a mux", func(inner http.Handler) http.Handler {
			mux, outer := http.NewServeMux(), http.NewServeMux()
			mux.Handle("GET /a/{id}", inner)
			outer.Handle("/a/", nethttp.Handler(nethttp.Options{})(mux))
			return outer
		}, "/a/{id}"},
		{"no mux", nethttp.Handler(nethttp.Options{}), ""},
		{"of the application", nethttp.Handler(nethttp.Options{Route: func(*http.Request) string { return "/mine/:id" }}), "/mine/:id"},
		{"a panic", nethttp.Handler(nethttp.Options{Route: func(*http.Request) string { panic("no") }, Logger: slog.New(slog.DiscardHandler)}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got audit.Request
			served := false
			h := c.wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, served = audit.RequestFrom(r.Context())
			}))
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/a/7", nil))
			if !served || got.Route != c.want {
				t.Errorf("served %v, route %q, want %q", served, got.Route, c.want)
			}
		})
	}
}

func TestHandler_trustsNothingByDefault(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-User-Id", "Remote-User"} {
		var got audit.Request
		known := true
		h := nethttp.Handler(nethttp.Options{Identify: identify})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = audit.RequestFrom(r.Context())
			_, known = audit.ActorFrom(r.Context())
		}))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(header, "203.0.113.9")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got.IPAddress != "192.0.2.1" || known {
			t.Errorf("%s: address %q, known %v", header, got.IPAddress, known)
		}
	}
}

func TestHandler_actorOutlivesTheRequest_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	var late sync.WaitGroup
	release := make(chan struct{})
	inner := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user := r.URL.Query().Get("user")
		ctx := context.WithoutCancel(r.Context())
		for _, wait := range []bool{false, true} {
			late.Go(func() {
				if wait {
					<-release
				}
				if actor, ok := audit.ActorFrom(ctx); !ok || actor.ID != user {
					t.Errorf("the goroutine of user %s sees %q %v", user, actor.ID, ok)
				}
			})
		}
	})
	audited := nethttp.Handler(nethttp.Options{Identify: identify})(inner)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		audited.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, r.URL.Query().Get("user"))))
	})
	var requests sync.WaitGroup
	for worker := range 4 {
		requests.Go(func() {
			for i := range 100 {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/?user="+strconv.Itoa(worker*1000+i), nil))
			}
		})
	}
	requests.Wait()
	close(release)
	late.Wait()
}

func TestHandler_panicOfAHandler_passes(t *testing.T) {
	t.Parallel()
	asked := 0
	h := nethttp.Handler(nethttp.Options{Identify: func(*http.Request) (audit.Actor, bool) { asked++; return audit.Actor{}, false }})(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) || asked != 1 {
			t.Errorf("panic %v, asked %d times", err, asked)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestHandler_panicOfTheApplicationsFunctions_isLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := nethttp.Handler(nethttp.Options{
		Identify:   func(*http.Request) (audit.Actor, bool) { panic("secret 1") },
		SessionKey: func(*http.Request) string { panic("secret 2") },
		Logger:     slog.New(slog.NewJSONHandler(&log, nil)),
	})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusNoContent || !strings.Contains(log.String(), `"Identify"`) || !strings.Contains(log.String(), `"SessionKey"`) || strings.Contains(log.String(), "secret") {
		t.Errorf("status %d, log %s", w.Code, log.String())
	}
}
