package audit

import (
	"context"
	"maps"

	"github.com/gormtrail/audit/event"
)

// Types of actors that are set if the application does not.
const (
	// ActorUser is the default of Actor.Type.
	ActorUser = "user"
	// ActorSystem acts where there is neither an actor nor a request.
	ActorSystem = "system"
	// ActorAnonymous acts in a request whose user is not known.
	ActorAnonymous = "anonymous"
)

// who is the audit context of one statement, with the actor asked for. It is immutable.
type who struct {
	actor   Actor
	request Request
	reason  string
	tenant  string
	extra   Fields
	batch   *Batch
}

// active reports whether s is an audit context, and not only extra fields for one.
func (s *scope) active() bool {
	return s != nil && (s.actor != nil || s.request != nil || s.batch != nil)
}

// whoOf takes the audit context of ctx as it is now.
func whoOf(ctx context.Context) (*who, error) {
	w := &who{actor: Actor{Type: ActorSystem}}
	s := scopeOf(ctx)
	if s == nil {
		return w, nil
	}
	w.reason, w.tenant, w.extra, w.batch = s.reason, s.tenant, s.extra, s.batch
	if s.request != nil {
		w.request = *s.request
		w.actor.Type = ActorAnonymous
	}
	if s.actor == nil {
		return w, nil
	}
	// The application's function: middleware that runs before authentication.
	err := guard("actor function", func() error {
		actor, known := s.actor()
		switch {
		case known:
			w.actor = actor
			if actor.Type == "" {
				w.actor.Type = ActorUser
			}
		case s.request == nil:
			w.actor.Type = ActorAnonymous
		}
		return nil
	})
	return w, err
}

// fill writes the audit context into a record.
func (w *who) fill(r *event.Record) {
	r.UserID, r.Username, r.FullName = w.actor.ID, w.actor.Username, w.actor.FullName
	r.ActorType, r.TenantID, r.ImpersonatorID = w.actor.Type, w.actor.TenantID, w.actor.ImpersonatorID
	if r.TenantID == "" {
		r.TenantID = w.tenant
	}
	q := &w.request
	r.IPAddress, r.UserAgent, r.SessionKey = q.IPAddress, q.UserAgent, q.SessionKey
	r.RequestID, r.TraceID, r.SpanID = q.RequestID, q.TraceID, q.SpanID
	r.HTTPMethod, r.HTTPRoute, r.Source = q.Method, q.Route, q.Source
	r.Reason = w.reason
	var extra map[string]any
	if w.batch != nil {
		r.BatchID, r.BatchAction = w.batch.id, w.batch.action
		extra = maps.Clone(w.batch.extra)
	}
	if extra == nil {
		extra = maps.Clone(w.extra)
	} else {
		maps.Copy(extra, w.extra)
	}
	if len(extra) > 0 {
		r.Extra = extra
	}
}
