package nethttp

import (
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

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
	// It gets the request that came to this middleware, so authentication that stores the user in the
	// request's context must run before. One that runs after it calls audit.WithActor on the context
	// that it makes. Identify is called when the first change is recorded, again for later changes
	// until it answers true, and for the last time when the request ends, for work that outlives it.
	// Changes that it makes itself are recorded without an actor.
	//
	// Defaults to nobody.
	Identify func(r *http.Request) (audit.Actor, bool)

	// TrustedProxies are the addresses whose ForwardedHeader is believed; see ParseProxies.
	//
	// Defaults to none: the client's address is that of the connection, and the header changes
	// nothing.
	TrustedProxies []netip.Prefix

	// ForwardedHeader is the header in which trusted proxies name the client. It is read from the
	// right, as far as the proxies are trusted.
	//
	// Defaults to "X-Forwarded-For".
	ForwardedHeader string

	// SessionKey gives the session of the request, "" if it has none. Only the HMAC-SHA256 of the
	// answer is recorded, under SessionHashKey.
	//
	// Defaults to no session.
	SessionKey func(r *http.Request) string

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

	// Route gives the template of the request's route, such as "/customers/{id}".
	//
	// Defaults to the path of the pattern that the wrapped handler would choose, if it is an http.ServeMux, and
	// else of Request.Pattern, which is known behind one.
	Route func(r *http.Request) string

	// Source is the source of the records: "api", "admin", or a word of your own.
	//
	// Defaults to "api".
	Source string

	// Logger is told of panics in the functions above.
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
