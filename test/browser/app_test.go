package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/viewer"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

const token = "browser-test-token-0123456789"

// app is an application with the viewer at /audit, on the embedded store.
type app struct {
	url string
	// down makes the store fail.
	down atomic.Bool
	// write adds records to the trail.
	write func(records ...event.Record)
}

func newApp(t *testing.T, records []event.Record, change ...func(*viewer.Options)) *app {
	t.Helper()
	db, err := gorm.Open(sqlite.Open("file:"+filepath.Join(t.TempDir(), "trail.db")+"?_pragma=busy_timeout(5000)"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if raw, err := db.DB(); err == nil {
			_ = raw.Close() // the test has its results
		}
	})
	trail, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a := &app{write: func(records ...event.Record) {
		t.Helper()
		docs := make([]store.Doc, len(records))
		for i, r := range records {
			docs[i] = store.Doc{Record: r}
		}
		results, err := trail.Write(t.Context(), docs)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Status != store.Stored {
				t.Fatalf("record %d: %v %v", i, r.Status, r.Err)
			}
		}
	}}
	a.write(records...)
	authorizer, err := query.BearerTokens(map[string]query.Grant{token: {Principal: "auditor@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Asia/Ho_Chi_Minh")
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	engine.Use(func(c *gin.Context) {
		if a.down.Load() && c.Param("log_id") == "" && c.Request.URL.Path == "/audit/api/search/" {
			query.Problem{Type: "about:blank", Title: "The store is not available", Status: http.StatusServiceUnavailable, Detail: "the store cannot answer in full now"}.Write(c)
		}
	})
	done := make(chan struct{})
	options := viewer.Options{Title: "Acme CRM audit", Query: query.Options{
		Store: trail, Authorizer: authorizer, Location: zone, Done: done, TailInterval: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	for _, c := range change {
		c(&options)
	}
	if err := viewer.Mount(engine.Group("/audit"), options); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(engine)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) }) // before Close, which waits for the live tails
	a.url = server.URL
	return a
}

var people = []struct{ id, username, name string }{
	{"7", "ann.lee", "Ann Lee"}, {"12", "minh.nguyen", "Nguyễn Văn Minh"}, {"31", "sofia.r", "Sofía Ramírez"}, {"44", "d.okafor", "Daniel Okafor"},
}

func raw(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(errors.Join(errors.New("a test value cannot be encoded"), err))
	}
	return data
}

// trail gives 140 records as an application makes them, the newest a minute before now.
func trail(now time.Time) []event.Record {
	objects := []struct{ kind, id, repr string }{
		{"customer", "42", "John Smith"},
		{"order", "1007", "Order #1007 · 12 items"},
		{"employee", "5", "Trần Thị Hoa"},
		{"customer", "43", "Müller & Söhne GmbH"},
		{"product", "sku-88", "Ergonomic chair, graphite"},
		{"invoice", "2026-0311", "Invoice 2026-0311"},
		{"customer", "58", "東京デザイン株式会社"},
	}
	actions := []event.Action{event.ActionChange, event.ActionAdd, event.ActionChange, event.ActionDelete, event.ActionChange, event.ActionImport, event.ActionExport, event.ActionRestore, "APPROVE"}
	var out []event.Record
	for i := range 140 {
		who, what, action := people[(i*5+i/3)%len(people)], objects[(i*3+i/7)%len(objects)], actions[(i*2+i/5)%len(actions)]
		r := event.Record{
			LogID: event.NewID(now.Add(-time.Duration(1+i*37) * time.Minute)), Timestamp: now.Add(-time.Duration(1+i*37) * time.Minute).Truncate(time.Microsecond),
			UserID: who.id, Username: who.username, FullName: who.name, ActorType: "user", Action: action,
			ObjectType: what.kind, ObjectID: what.id, ObjectRepr: what.repr, IPAddress: fmt.Sprintf("203.0.113.%d", 10+i%20),
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", SessionKey: fmt.Sprintf("9f1c2ab4%04d", i/9),
			RequestID: fmt.Sprintf("01JDRQ%06d", i/2), HTTPMethod: "PUT", HTTPRoute: "/api/" + what.kind + "s/:id", Source: "api",
			Service: "crm", Environment: "production", TxID: fmt.Sprintf("tx-%d", i/2), Table: what.kind + "s",
		}
		switch action {
		case event.ActionAdd:
			r.ChangeMessage = event.TextMessage(event.TextCreated)
			r.Changes = []event.Change{{Field: "name", Label: "Name", Type: event.TypeString, New: raw(what.repr)}, {Field: "active", Label: "Active", Type: event.TypeBoolean, New: raw(true)}}
		case event.ActionDelete:
			r.ChangeMessage = event.TextMessage(event.TextDeleted)
			r.Changes = []event.Change{{Field: "name", Label: "Name", Type: event.TypeString, Old: raw(what.repr)}}
		case event.ActionChange:
			r.Changes = []event.Change{{Field: "phone", Label: "Phone number", Type: event.TypeString, Old: raw("0987 654 321"), New: raw(fmt.Sprintf("0987 654 %03d", i))}}
			r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: "Phone number", OldValue: r.Changes[0].Old, NewValue: r.Changes[0].New}})
		default:
			r.ChangeMessage = event.TextMessage(fmt.Sprintf("%s of %s", action, what.repr))
		}
		out = append(out, r)
	}
	out[0] = rich(out[0])
	return out
}

// rich makes r a change of every kind of value.
func rich(r event.Record) event.Record {
	r.LogID = "019ac000-0000-7000-8000-000000000001"
	r.Action, r.ObjectType, r.ObjectID, r.ObjectRepr = event.ActionChange, "customer", "42", "John Smith"
	r.UserID, r.Username, r.FullName = "7", "ann.lee", "Ann Lee"
	r.Changes = []event.Change{
		{Field: "phone", Label: "Phone number", Type: event.TypeString, Old: raw("0987654321"), New: raw("1234567890")},
		{
			Field: "notes", Label: "Notes", Type: event.TypeString,
			Old: raw("Prefers to be called in the morning. Delivery to the back door."), New: raw("Prefers to be called in the afternoon. Delivery to the front door, ring twice."),
		},
		{Field: "nickname", Label: "Nickname", Type: event.TypeString, Old: raw(nil), New: raw("")},
		{Field: "credit_limit", Label: "Credit limit", Type: event.TypeDecimal, Old: raw("1500.00"), New: raw("2500.00")},
		{Field: "visits", Label: "Visits", Type: event.TypeInteger, Old: json.RawMessage("9007199254740992"), New: json.RawMessage("9007199254740993")},
		{Field: "newsletter", Label: "Newsletter", Type: event.TypeBoolean, Old: raw(true), New: raw(false)},
		{Field: "password_hash", Label: "Password", Redacted: true, Old: raw("***"), New: raw("***")},
		{Field: "preferences", Label: "Preferences", Type: event.TypeJSON, Old: raw(map[string]any{"theme": "light", "columns": []int{1, 2}}), New: raw(map[string]any{"theme": "dark", "columns": []int{1, 2, 3}})},
		{Field: "verified_at", Label: "Verified at", Type: event.TypeTime, Old: raw(nil), New: raw("2026-11-24T03:04:05.123456Z")},
	}
	r.ChangedFields = nil
	rows := make([]event.MessageRow, len(r.Changes))
	for i, c := range r.Changes {
		r.ChangedFields = append(r.ChangedFields, c.Field)
		rows[i] = event.MessageRow{Field: c.Label, OldValue: c.Old, NewValue: c.New}
	}
	r.ChangeMessage = event.TableMessage(rows)
	r.TraceID, r.SpanID, r.TenantID, r.Reason = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "acme", "Customer called about the delivery"
	r.Extra = map[string]any{"ticket": "SUP-4711", "approved_by": []any{"d.okafor"}}
	return r
}
