package query

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// What records of reading have in action and object_type.
const (
	// ActionAccess is the action of records of reading; those of exports have event.ActionExport.
	ActionAccess event.Action = "ACCESS"
	// ObjectTypeTrail is their object_type, and the object_id is the log_id of the record, if it is one.
	ObjectTypeTrail = "audit_log"
	// ExtraAccess is the field in extra that says what was read: operation, path, query, and rows.
	ExtraAccess = "access"
)

// Access says how reading the trail is itself recorded. The zero Access records nothing.
type Access struct {
	// Recorder takes one record for each read, before its answer is given, and two for each export or
	// live tail: before it, with the outcome event.OutcomeAttempted, and after it, with the number of
	// records. AccessTo is one.
	Recorder AccessRecorder
	// Operations are those that are recorded. What an answer to OperationChanges shows is recorded only
	// if there is something else in it than records of reading: else a program that asks again and again
	// would find its own questions for ever.
	//
	// Defaults to AccessOperations.
	Operations []Operation
	// BestEffort answers also if the Recorder fails, which is then only logged. Else such a request is
	// refused with 503: nothing is read unseen.
	BestEffort bool
	// ClientIP gives the address of the caller.
	//
	// Defaults to the other end of the connection, which behind a proxy is the proxy: Gin's own ClientIP
	// believes everybody's headers unless gin.Engine.SetTrustedProxies was called.
	ClientIP func(c *gin.Context) string
}

// AccessOperations gives the operations that are recorded by default: all that show records.
func AccessOperations() []Operation {
	return []Operation{
		OperationSearch, OperationDetail, OperationContext, OperationHistory, OperationState, OperationUser, OperationBatch,
		OperationExport, OperationTail, OperationChanges,
	}
}

// AccessRecorder keeps the records of reading. It may be called concurrently.
type AccessRecorder interface {
	// RecordAccess keeps r. When it returns nil the record is safe.
	RecordAccess(ctx context.Context, r event.Record) error
}

// AccessRecorderFunc is a function as an AccessRecorder.
type AccessRecorderFunc func(ctx context.Context, r event.Record) error

// RecordAccess calls f.
func (f AccessRecorderFunc) RecordAccess(ctx context.Context, r event.Record) error { return f(ctx, r) }

// AccessTo gives an AccessRecorder that writes into a store.
func AccessTo(w store.Writer) AccessRecorder {
	return AccessRecorderFunc(func(ctx context.Context, r event.Record) error {
		results, err := w.Write(ctx, []store.Doc{{Record: r}})
		if err != nil {
			return fmt.Errorf("query: record access: %w", err)
		}
		if err := results[0].Err; err != nil {
			return fmt.Errorf("query: record access: %w", err)
		}
		return nil
	})
}

func (a Access) withDefaults() Access {
	if a.Operations == nil {
		a.Operations = AccessOperations()
	}
	if a.ClientIP == nil {
		a.ClientIP = func(c *gin.Context) string { return c.RemoteIP() }
	}
	return a
}

// isAccess reports whether r is a record of reading.
func isAccess(r event.Record) bool {
	return r.ObjectType == ObjectTypeTrail && (r.Action == ActionAccess || r.Action == event.ActionExport)
}

// recordAccess records the request before it is answered. If it gives false it has refused it.
func (h *handler) recordAccess(r *call) bool {
	return h.recordOutcome(r, "")
}

// recordOutcome does so with an outcome.
func (h *handler) recordOutcome(r *call, outcome string) bool {
	if isNil(h.Access.Recorder) || !slices.Contains(h.Access.Operations, r.route.operation) {
		return true
	}
	record := h.accessRecord(r, outcome)
	// That the caller has gone does not undo what they have read.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.c.Request.Context()), h.Timeout)
	defer cancel()
	err := h.Access.Recorder.RecordAccess(ctx, record)
	if err == nil {
		return true
	}
	h.Logger.ErrorContext(ctx, "audit query: reading could not be recorded", slog.String("operation", string(r.route.operation)),
		slog.String("principal", r.grant.Principal), slog.Any("error", err))
	if h.Access.BestEffort {
		return true
	}
	if !r.c.Writer.Written() {
		r.c.Header("Retry-After", "5")
		h.refuse(r.c, http.StatusServiceUnavailable, problemAccess, "Reading cannot be recorded", "records are not shown unless it can be recorded who read them")
	}
	return false
}

func (h *handler) accessRecord(r *call, outcome string) event.Record {
	now := h.Clock().UTC()
	action := ActionAccess
	if r.route.operation == OperationExport {
		action = event.ActionExport
	}
	access := map[string]any{"operation": string(r.route.operation), "path": limited(r.c.Request.URL.Path)}
	if q := paramsText(r.p.values); q != "" {
		access["query"] = limited(q)
	}
	if outcome != event.OutcomeAttempted {
		access["rows"] = r.rows
	}
	record := event.Record{
		LogID: event.NewID(now), Timestamp: now, Action: action, ObjectType: ObjectTypeTrail, ObjectID: r.c.Param("log_id"),
		ObjectRepr: "audit trail: " + string(r.route.operation), ChangeMessage: event.TextMessage(accessText(r, outcome)),
		UserID: r.grant.UserID, Username: r.grant.Principal, TenantID: r.grant.tenant(), ActorType: "user", Source: "api", Outcome: outcome,
		IPAddress: h.Access.ClientIP(r.c), UserAgent: limited(r.c.Request.UserAgent()), RequestID: r.c.Writer.Header().Get("X-Request-Id"),
		HTTPMethod: r.c.Request.Method, HTTPRoute: r.c.FullPath(), Extra: map[string]any{ExtraAccess: access},
	}
	if record.UserID == "" {
		record.UserID = r.grant.Principal
	}
	return record
}

func accessText(r *call, outcome string) string {
	switch {
	case outcome == event.OutcomeAttempted:
		return fmt.Sprintf("Began %s of the audit trail", r.route.operation)
	case r.rows == 1:
		return fmt.Sprintf("Read 1 record of the audit trail by %s", r.route.operation)
	}
	return fmt.Sprintf("Read %d records of the audit trail by %s", r.rows, r.route.operation)
}

// paramsText gives the parameters without the cursor, which says nothing to anybody.
func paramsText(values url.Values) string {
	shown := url.Values{}
	for name, v := range values {
		if name != "cursor" {
			shown[name] = v
		}
	}
	return shown.Encode()
}

// limited keeps what the caller has chosen from filling the trail.
func limited(s string) string {
	const most = 2048
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// tenant gives the tenant of the caller, if there is one: their reading is then seen by those who see
// the tenant's records.
func (g Grant) tenant() string {
	tenant := ""
	for _, f := range g.Filters {
		if f.Field == store.FieldTenantID && !f.Not {
			if len(f.Values) != 1 || tenant != "" && tenant != f.Values[0] {
				return ""
			}
			tenant = f.Values[0]
		}
	}
	return tenant
}

// step gives the context of one step of a stream, which as a whole has no time-out.
func (h *handler) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.Timeout)
}

// writeTimeout is how long a caller may take to receive one part of a stream.
const writeTimeout = 60 * time.Second
