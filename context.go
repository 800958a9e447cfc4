package audit

import (
	"context"
	"maps"
)

// ContextKey is the key under which middleware also puts the audit context into a *gin.Context
// (whose Value method looks up strings only), so that db.WithContext(c) works; see ContextValue.
const ContextKey = "github.com/gormtrail/audit"

// Fields are an application's own fields of a record. Values must be encodable as JSON.
type Fields map[string]any

// Actor says who acts.
type Actor struct {
	// ID, Username and FullName go to user_id, username and full_name.
	ID       string
	Username string
	FullName string
	// Type is "user", "system" or a word of your own. Defaults to "user".
	Type string
	// TenantID is the tenant in which the actor acts.
	TenantID string
	// ImpersonatorID is the id of the user who acts in the name of this one.
	ImpersonatorID string
}

// Request has the facts of the request that an actor made.
type Request struct {
	// IPAddress is the client's address. Middleware takes it from headers only as far as the proxies
	// that set them are trusted.
	IPAddress string
	// UserAgent is what the client calls itself: not to be trusted.
	UserAgent string
	// SessionKey is the keyed hash of the session, never its secret.
	SessionKey string
	// RequestID, TraceID and SpanID link records to logs and traces.
	RequestID string
	TraceID   string
	SpanID    string
	// Method and Route name the handler: the HTTP method and the route's template.
	Method string
	Route  string
	// Source is "api", "admin", "job", "cli", "migration", or a word of your own.
	Source string
}

// scope is everything that a context says about auditing. It is immutable once in a context.
type scope struct {
	actor   func() (Actor, bool) // nil: none
	request *Request
	reason  string
	tenant  string
	extra   Fields
	skip    bool
	batch   *Batch
}

type scopeKey struct{}

// scopeOf gives the audit context of ctx, nil if it has none.
func scopeOf(ctx context.Context) *scope {
	if ctx == nil {
		return nil
	}
	if s, ok := ctx.Value(scopeKey{}).(*scope); ok {
		return s
	}
	s, _ := ctx.Value(ContextKey).(*scope)
	return s
}

// with gives a context whose audit context is that of ctx after change.
func with(ctx context.Context, change func(s *scope)) context.Context {
	var next scope
	if s := scopeOf(ctx); s != nil {
		next = *s
	}
	change(&next)
	return context.WithValue(ctx, scopeKey{}, &next)
}

// ContextValue gives the audit context of ctx for storing under ContextKey in a context that hides
// the values of the one it wraps, as *gin.Context does; nil if there is none.
func ContextValue(ctx context.Context) any {
	if s := scopeOf(ctx); s != nil {
		return s
	}
	return nil
}

// WithActor gives a context in which actor acts: for requests without middleware, for jobs and tests.
func WithActor(ctx context.Context, actor Actor) context.Context {
	return with(ctx, func(s *scope) { s.actor = func() (Actor, bool) { return actor, true } })
}

// WithActorFunc gives a context whose actor is asked for when a change is recorded: for middleware
// that runs before authentication does. resolve must be safe for concurrent use, and must not change
// its answer once it was true. If it answers false, nobody is known to act. It is called while the
// statement's connection is in use: on a pool of one connection it must not ask for another.
func WithActorFunc(ctx context.Context, resolve func() (Actor, bool)) context.Context {
	return with(ctx, func(s *scope) { s.actor = resolve })
}

// WithRequest gives a context whose records carry the facts of the request.
func WithRequest(ctx context.Context, request Request) context.Context {
	return with(ctx, func(s *scope) { s.request = &request })
}

// WithReason gives a context whose records carry the reason.
func WithReason(ctx context.Context, reason string) context.Context {
	return with(ctx, func(s *scope) { s.reason = reason })
}

// WithTenant gives a context whose records belong to a tenant, for where there is no actor who says so: if
// the actor has a TenantID, that one counts.
func WithTenant(ctx context.Context, tenantID string) context.Context {
	return with(ctx, func(s *scope) { s.tenant = tenantID })
}

// WithExtra gives a context whose records carry the fields, besides those of ctx; of equal names the
// new one wins. It copies fields, not their values.
func WithExtra(ctx context.Context, fields Fields) context.Context {
	return with(ctx, func(s *scope) {
		merged := make(Fields, len(s.extra)+len(fields))
		maps.Copy(merged, s.extra)
		maps.Copy(merged, fields)
		s.extra = merged
	})
}

// Skip gives a context in which changes are not recorded; they are counted as skipped.
func Skip(ctx context.Context) context.Context {
	return with(ctx, func(s *scope) { s.skip = true })
}

// ActorFrom gives the actor of ctx.
func ActorFrom(ctx context.Context) (Actor, bool) {
	if s := scopeOf(ctx); s != nil && s.actor != nil {
		return s.actor()
	}
	return Actor{}, false
}

// RequestFrom gives the request facts of ctx.
func RequestFrom(ctx context.Context) (Request, bool) {
	if s := scopeOf(ctx); s != nil && s.request != nil {
		return *s.request, true
	}
	return Request{}, false
}
