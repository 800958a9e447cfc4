package middleware

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/reqinfo"
)

// SessionKeyVariable is the environment variable that SessionHashKeyFromEnv reads.
const SessionKeyVariable = "AUDIT_SESSION_KEY"

// Options say how the audit context of a request is found. The zero Options are valid: then nobody
// is known to act.
type Options struct {
	// Identify gives the user of the request, as the application's own authentication found it; false
	// if there is none.
	//
	// It is called when the first change is recorded, so that authentication may run after this
	// middleware, again for later changes until it answers true, and for the last time when the
	// request ends, for work that outlives it. Changes that it makes itself are recorded without an
	// actor.
	//
	// Defaults to nobody.
	Identify func(c *gin.Context) (audit.Actor, bool)

	// TrustedProxies are the addresses whose ForwardedHeader is believed; see ParseProxies. Gin's own
	// list is not used: by default it trusts everybody.
	//
	// Defaults to none: the client's address is that of the connection, and the header changes
	// nothing.
	TrustedProxies []netip.Prefix

	// ForwardedHeader is the header in which trusted proxies name the client. It is read from the
	// right, as far as the proxies are trusted.
	//
	// Defaults to "X-Forwarded-For".
	ForwardedHeader string

	// SessionKey gives the session of the request, "" if it has none. It is called once, when the
	// request comes in: this middleware must stand after the one that opens sessions. Only the
	// HMAC-SHA256 of the answer is recorded, under SessionHashKey.
	//
	// Defaults to no session.
	SessionKey func(c *gin.Context) string

	// SessionHashKey is the key of the hash, at least 32 random bytes; see SessionHashKeyFromEnv. With
	// the same key the same session has the same session_key in all records.
	//
	// Defaults to none: session_key is left out.
	SessionHashKey []byte

	// RequestIDHeader is the header from which the request id is taken, if it is 1 to 128 ASCII
	// letters, digits and . _ - : + / =. Else an id is made. The response has it under the same name;
	// one that other middleware has set there already wins. The client may choose it freely.
	//
	// Defaults to "X-Request-Id".
	RequestIDHeader string

	// Source is the source of the records: "api", "admin", or a word of your own.
	//
	// Defaults to "api".
	Source string

	// Logger is told of panics in Identify and SessionKey.
	//
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Now is the clock for new request ids.
	//
	// Defaults to time.Now.
	Now func() time.Time
}

// ParseProxies reads addresses ("10.0.0.7") and blocks ("10.0.0.0/8") for Options.TrustedProxies.
// The error names every entry that is neither.
func ParseProxies(list ...string) ([]netip.Prefix, error) {
	return reqinfo.ParseProxies(list...)
}

// SessionHashKeyFromEnv gives the bytes of the environment variable AUDIT_SESSION_KEY, nil if it is
// not set.
func SessionHashKeyFromEnv() []byte {
	if key := os.Getenv(SessionKeyVariable); key != "" {
		return []byte(key)
	}
	return nil
}

// SetContext makes ctx, which comes from the request's context, that of the request, for db calls with
// c as well as with c.Request.Context(). Handlers use it after audit.WithReason and the like.
func SetContext(ctx context.Context, c *gin.Context) {
	c.Request = c.Request.WithContext(ctx)
	c.Set(audit.ContextKey, audit.ContextValue(ctx))
}
