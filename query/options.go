package query

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"time"

	"github.com/gormtrail/audit/store"
)

// Options configures Mount. Store and Authorizer are required.
type Options struct {
	// Store is asked for the records.
	Store store.Searcher
	// Authorizer is asked about every request. There is no default: a trail is never open by accident.
	Authorizer Authorizer

	// Access says how reading is recorded. Defaults to: not at all.
	Access Access

	// Location is the zone of the days in from_date and to_date. Timestamps in answers are UTC always.
	//
	// Defaults to UTC.
	Location *time.Location
	// CursorKey signs the cursors. Give all instances behind one address the same key, of 32 random
	// bytes, else a cursor of one is refused by the others and after a restart.
	//
	// Defaults to a random key, which is logged at level Info (that it is random, not the key).
	CursorKey []byte
	// CursorTTL is how long a cursor can be used.
	//
	// Defaults to 24 hours.
	CursorTTL time.Duration
	// Timeout is how long the store may take for one request, which then ends with 504.
	//
	// Defaults to 10 seconds.
	Timeout time.Duration
	// MaxConcurrent is how many requests of one principal are served at the same time; more are refused
	// with 429.
	//
	// Defaults to 16.
	MaxConcurrent int
	// MaxStreams is how many exports and live tails of one principal are served at the same time, beside
	// the other requests; more are refused with 429.
	//
	// Defaults to 4.
	MaxStreams int
	// TailInterval is how often a live tail asks the store for what has arrived.
	//
	// Defaults to 1 second.
	TailInterval time.Duration
	// Heartbeat is how often a live tail shows that it is still there, and asks the Authorizer again.
	//
	// Defaults to 15 seconds.
	Heartbeat time.Duration
	// Done ends the live tails when it is closed, for http.Server.Shutdown waits for them.
	//
	// Defaults to nil: they end with their connections.
	Done <-chan struct{}
	// ProblemBase is the absolute URL that begins the "type" of a problem, as in
	// ProblemBase + "invalid-parameter".
	//
	// Defaults to DefaultProblemBase.
	ProblemBase string
	// Logger takes what callers must not read: the store's errors and mistakes of the Authorizer.
	//
	// Defaults to slog.Default().
	Logger *slog.Logger
	// Observe is told of each request once it was answered: its method, its route such as "/detail/:log_id",
	// the status, and how long it took by Clock. It must be fast, and safe for concurrent use.
	// telemetry.Providers has one.
	//
	// Defaults to nothing.
	Observe func(ctx context.Context, method, route string, status int, took time.Duration)
	// Clock tells the time, for the expiry of cursors and took_ms.
	//
	// Defaults to time.Now.
	Clock func() time.Time
}

const minCursorKey = 32

func (o Options) withDefaults() Options {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.CursorTTL == 0 {
		o.CursorTTL = 24 * time.Hour
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = 16
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 4
	}
	if o.TailInterval == 0 {
		o.TailInterval = time.Second
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	o.Access = o.Access.withDefaults()
	if o.ProblemBase == "" {
		o.ProblemBase = DefaultProblemBase
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Validate reports everything that is wrong with o; the error wraps ErrOptions. Mount does it too.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...))
	}
	if isNil(o.Store) {
		bad("Options.Store is nil, want the store to search in")
	}
	if isNil(o.Authorizer) {
		bad("Options.Authorizer is nil, want who decides about requests (such as BearerTokens)")
	}
	if n := len(o.CursorKey); n > 0 && n < minCursorKey {
		bad("Options.CursorKey has %d bytes, want none (a random key) or %d or more", n, minCursorKey)
	}
	if o.CursorTTL < 0 {
		bad("Options.CursorTTL is %v, want 0 (default) or more", o.CursorTTL)
	}
	if o.Timeout < 0 {
		bad("Options.Timeout is %v, want 0 (default) or more", o.Timeout)
	}
	if o.MaxConcurrent < 0 {
		bad("Options.MaxConcurrent is %d, want 0 (default) or more", o.MaxConcurrent)
	}
	if o.MaxStreams < 0 {
		bad("Options.MaxStreams is %d, want 0 (default) or more", o.MaxStreams)
	}
	if o.TailInterval < 0 {
		bad("Options.TailInterval is %v, want 0 (default) or more", o.TailInterval)
	}
	if o.Heartbeat < 0 {
		bad("Options.Heartbeat is %v, want 0 (default) or more", o.Heartbeat)
	}
	if u, err := url.Parse(o.ProblemBase); o.ProblemBase != "" && (err != nil || !u.IsAbs()) {
		bad("Options.ProblemBase is %q, want an absolute URL", o.ProblemBase)
	}
	return errors.Join(errs...)
}

// isNil reports whether v is nil or holds a nil pointer or function: both would fail at the first
// request only.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func:
		return r.IsNil()
	}
	return false
}

func randomKey() []byte {
	key := make([]byte, minCursorKey)
	_, _ = rand.Read(key) // never fails; see crypto/rand
	return key
}
