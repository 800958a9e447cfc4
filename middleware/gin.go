package middleware

import (
	"context"
	"log/slog"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/reqinfo"
)

// Gin gives the middleware. It belongs before the handlers whose changes are recorded; see
// Options.SessionKey for sessions.
func Gin(o Options) gin.HandlerFunc {
	facts := reqinfo.Config{
		TrustedProxies: o.TrustedProxies, ForwardedHeader: o.ForwardedHeader,
		RequestIDHeader: o.RequestIDHeader, SessionHashKey: o.SessionHashKey, Now: o.Now,
	}.WithDefaults()
	if o.Source == "" {
		o.Source = "api"
	}
	return func(c *gin.Context) {
		ctx := audit.WithRequest(c.Request.Context(), o.request(c, &facts))
		if o.Identify != nil {
			actor := reqinfo.NewLate(func() (audit.Actor, bool) { return o.identify(c) })
			// Gin uses c again as soon as the request has ended, also after a panic.
			defer actor.Close()
			ctx = audit.WithActorFunc(ctx, actor.Get)
		}
		SetContext(ctx, c)
		c.Next()
	}
}

func (o *Options) request(c *gin.Context, facts *reqinfo.Config) audit.Request {
	f := facts.Facts(c.Request, c.Writer.Header())
	r := audit.Request{
		IPAddress: f.IPAddress, UserAgent: f.UserAgent, RequestID: f.RequestID,
		TraceID: f.TraceID, SpanID: f.SpanID, Method: f.Method,
		Route: c.FullPath(), Source: o.Source,
	}
	if o.SessionKey != nil {
		r.SessionKey = facts.SessionKey(o.session(c))
	}
	return r
}

func (o *Options) identify(c *gin.Context) (actor audit.Actor, ok bool) {
	defer o.caught(c.Request.Context(), "Identify", func() { actor, ok = audit.Actor{}, false })
	return o.Identify(c)
}

func (o *Options) session(c *gin.Context) (session string) {
	defer o.caught(c.Request.Context(), "SessionKey", func() { session = "" })
	return o.SessionKey(c)
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
