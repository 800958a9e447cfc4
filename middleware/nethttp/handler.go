package nethttp

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/reqinfo"
)

// router is the part of *http.ServeMux that says where a request will go.
type router interface {
	Handler(r *http.Request) (h http.Handler, pattern string)
}

// Handler gives the middleware: a function that wraps the application's handler.
func Handler(o Options) func(next http.Handler) http.Handler {
	facts := reqinfo.Config{
		TrustedProxies: o.TrustedProxies, ForwardedHeader: o.ForwardedHeader,
		RequestIDHeader: o.RequestIDHeader, SessionHashKey: o.SessionHashKey, Now: o.Now,
	}.WithDefaults()
	if o.Source == "" {
		o.Source = "api"
	}
	return func(next http.Handler) http.Handler {
		o := o // each handler has a route function of its own
		if o.Route == nil {
			o.Route = routeBefore(next)
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := audit.WithRequest(r.Context(), o.request(w, r, &facts))
			if o.Identify != nil {
				actor := reqinfo.NewLate(func() (audit.Actor, bool) { return o.identify(r) })
				defer actor.Close()
				ctx = audit.WithActorFunc(ctx, actor.Get)
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// routeBefore gives the default of Options.Route. A mux writes Request.Pattern into the request that
// it gets, a later copy of the one that is seen here, so it has to be asked. What a mux around this handler
// has written says less: it may be "/".
func routeBefore(next http.Handler) func(*http.Request) string {
	mux, _ := next.(router)
	return func(r *http.Request) string {
		pattern := r.Pattern
		if mux != nil {
			if _, inner := mux.Handler(r); inner != "" {
				pattern = inner
			}
		}
		return reqinfo.RouteOf(pattern)
	}
}

func (o *Options) request(w http.ResponseWriter, r *http.Request, facts *reqinfo.Config) audit.Request {
	f := facts.Facts(r, w.Header())
	q := audit.Request{
		IPAddress: f.IPAddress, UserAgent: f.UserAgent, RequestID: f.RequestID,
		TraceID: f.TraceID, SpanID: f.SpanID, Method: f.Method,
		Route: o.text("Route", o.Route, r), Source: o.Source,
	}
	if o.SessionKey != nil {
		q.SessionKey = facts.SessionKey(o.text("SessionKey", o.SessionKey, r))
	}
	return q
}

func (o *Options) identify(r *http.Request) (actor audit.Actor, ok bool) {
	defer o.caught(r.Context(), "Identify", func() { actor, ok = audit.Actor{}, false })
	return o.Identify(r)
}

func (o *Options) text(name string, function func(*http.Request) string, r *http.Request) (text string) {
	defer o.caught(r.Context(), name, func() { text = "" })
	return function(r)
}

// caught ends a panic of the application's function: auditing must not fail its requests. The value
// is not logged, it may hold what the function looked at.
func (o *Options) caught(ctx context.Context, function string, then func()) {
	if p := recover(); p != nil {
		then()
		log := o.Logger
		if log == nil {
			log = slog.Default()
		}
		log.ErrorContext(ctx, "audit: panic in a function of the middleware's options", slog.String("function", function))
	}
}
