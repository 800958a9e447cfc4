package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

const base = "/api/audit-logs"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// seed gives n records, a minute apart and every fifth with the time of the one before, of the
// tenants acme and globex in turns, in which the same names and ids occur.
func seed(n int) []event.Record {
	actions := []event.Action{event.ActionAdd, event.ActionChange, event.ActionDelete, "APPROVE"}
	records := make([]event.Record, n)
	for i := range records {
		at := noon.Add(time.Duration(i-(i%5)/4) * time.Minute)
		records[i] = event.Record{
			LogID:      fmt.Sprintf("00000000-0000-7000-8000-%012d", i*7919%100_003),
			Timestamp:  at,
			TenantID:   []string{"acme", "globex"}[i%2],
			UserID:     fmt.Sprint(i % 3),
			Username:   []string{"ann", "bob", "Chi"}[i%3],
			FullName:   []string{"Ann Lee", "Bob Ray", "Nguyễn Chi"}[i%3],
			Action:     actions[i%7%4],
			ObjectType: []string{"customer", "order"}[i/2%2],
			ObjectID:   fmt.Sprint(i / 4 % 6),
			ObjectRepr: fmt.Sprintf("Thing %d", i/4%6),
			RequestID:  fmt.Sprintf("r%d", i/3),
			IPAddress:  fmt.Sprintf("10.0.0.%d", i%4),
		}
	}
	return records
}

// tokens: root sees all, the tenants their own records.
const (
	rootToken   = "root-token-0123456789"
	acmeToken   = "acme-token-0123456789"
	globexToken = "globex-token-0123456789"
	hiddenToken = "hidden-token-0123456789"
)

func tokens(t testing.TB) query.Authorizer {
	t.Helper()
	tenant := func(name string) []store.Filter {
		return []store.Filter{{Field: store.FieldTenantID, Values: []string{name}}}
	}
	a, err := query.BearerTokens(map[string]query.Grant{
		rootToken:   {Principal: "root"},
		acmeToken:   {Principal: "acme", Filters: tenant("acme")},
		globexToken: {Principal: "globex", Filters: tenant("globex")},
		hiddenToken: {Principal: "hidden", Hidden: []string{"ip_address", "user_id", "extra.salary", "changes.salary"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// app is a Gin application with the routes mounted.
type app struct {
	engine *gin.Engine
	logs   *logbuffer.Buffer
}

func newApp(t testing.TB, s store.Searcher, change ...func(*query.Options)) *app {
	t.Helper()
	logs := &logbuffer.Buffer{}
	o := query.Options{Store: s, Authorizer: tokens(t), Logger: slog.New(slog.NewTextHandler(logs, nil))}
	for _, c := range change {
		c(&o)
	}
	a := &app{engine: gin.New(), logs: logs}
	if err := query.Mount(a.engine.Group(base), o); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *app) get(token, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, base+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.serve(r, token)
}

func (a *app) serve(r *http.Request, token string) *httptest.ResponseRecorder {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	a.engine.ServeHTTP(w, r)
	return w
}

type page struct {
	Results       []map[string]any
	PageSize      int `json:"page_size"`
	FromOffset    *int
	Total         *int64
	TotalRelation string  `json:"total_relation"`
	NextCursor    *string `json:"next_cursor"`
	PrevCursor    *string `json:"prev_cursor"`
	Next          *string
	Previous      *string
	Window        struct {
		From, To *time.Time
		TZ       string
	}
}

func (a *app) search(t testing.TB, token, params string) page {
	t.Helper()
	w := a.get(token, "/search/"+params)
	if w.Code != http.StatusOK {
		t.Fatalf("GET /search/%s gives %d: %s", params, w.Code, w.Body)
	}
	return parse[page](t, w.Body)
}

func (a *app) problem(t testing.TB, status int, token, path string) query.Problem {
	t.Helper()
	w := a.get(token, path)
	if got := w.Header().Get("Content-Type"); w.Code != status || got != "application/problem+json; charset=utf-8" {
		t.Fatalf("GET %s gives %d %s, want %d and a problem: %s", path, w.Code, got, status, w.Body)
	}
	p := parse[query.Problem](t, w.Body)
	if p.Status != status || p.Type == "" || p.Title == "" {
		t.Errorf("GET %s gives the problem %+v", path, p)
	}
	return p
}

func parse[T any](t testing.TB, r io.Reader) (v T) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// clockAt gives a clock that stands.
func clockAt(t time.Time) func() time.Time { return func() time.Time { return t } }

func ids(p page) []string {
	out := []string{}
	for _, r := range p.Results {
		out = append(out, r["log_id"].(string))
	}
	return out
}
