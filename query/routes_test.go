package query_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store/storetest"
)

// inPath fills the parameters of a path with those of a record.
func inPath(path string, r event.Record) string {
	return strings.NewReplacer(
		":log_id", r.LogID, ":object_type", r.ObjectType, ":object_id", r.ObjectID, ":batch_id", r.BatchID, ":user_id", r.UserID,
		"{log_id}", r.LogID, "{object_type}", r.ObjectType, "{object_id}", r.ObjectID, "{batch_id}", r.BatchID, "{user_id}", r.UserID,
	).Replace(path)
}

// anyRecord has something in every parameter of a path.
var anyRecord = event.Record{LogID: "1", ObjectType: "customer", ObjectID: "1", BatchID: "b", UserID: "1"}

type document struct {
	OpenAPI string
	Servers []struct{ URL string }
	Paths   map[string]map[string]struct {
		OperationID string
		Tags        []string
		Parameters  []struct {
			Name, In string
			Schema   map[string]any
		}
		RequestBody *struct {
			Content map[string]struct{ Schema map[string]any }
		}
		Responses map[string]any
	}
	Components struct {
		Schemas map[string]any
	}
}

func documentOf(t *testing.T, a *app) document {
	t.Helper()
	w := a.get(rootToken, "/openapi.json")
	if w.Code != http.StatusOK {
		t.Fatalf("GET /openapi.json gives %d: %s", w.Code, w.Body)
	}
	return parse[document](t, w.Body)
}

// Every route of the engine is in the OpenAPI document, and every path of the document is a route.
func TestOpenAPI_hasEveryRoute(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory())
	doc := documentOf(t, a)
	if doc.OpenAPI != "3.1.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != base {
		t.Errorf("the document is %q of %v", doc.OpenAPI, doc.Servers)
	}
	documented := map[string]bool{}
	for path, operations := range doc.Paths {
		for method := range operations {
			documented[strings.ToUpper(method)+" "+strings.TrimSuffix(path, "/")] = true
		}
	}
	mounted := map[string]bool{}
	for _, route := range a.engine.Routes() {
		path := strings.TrimPrefix(strings.TrimSuffix(route.Path, "/"), base)
		parts := strings.Split(path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		mounted[route.Method+" "+strings.Join(parts, "/")] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(mounted)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("engine and document differ: %s", diff)
	}
}

// Every parameter of the document is taken, and every other one is a 400 that names it.
func TestOpenAPI_hasEveryParameter(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(4)...))
	names := map[string]bool{"no_such": true}
	doc := documentOf(t, a)
	for _, operations := range doc.Paths {
		for _, o := range operations {
			for _, p := range o.Parameters {
				if p.In == "query" {
					names[p.Name] = true
				}
			}
		}
	}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			has := map[string]bool{}
			for _, p := range o.Parameters {
				has[p.Name] = p.In == "query"
			}
			if o.RequestBody != nil {
				for name := range o.RequestBody.Content["application/json"].Schema["properties"].(map[string]any) {
					has[name] = true
				}
			}
			for name := range names {
				// An empty value is a mistake as well, so that no handler begins to answer.
				var r *http.Request
				if o.RequestBody != nil {
					r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(fmt.Sprintf(`{%q: ""}`, name)))
					r.Header.Set("Content-Type", "application/json")
				} else {
					r = httptest.NewRequestWithContext(t.Context(), strings.ToUpper(method), base+inPath(path, anyRecord)+"?"+name+"=", nil)
				}
				w := a.serve(r, rootToken)
				if w.Code != http.StatusBadRequest {
					t.Errorf("%s %s with an empty %s gives %d", method, path, name, w.Code)
					continue
				}
				p := parse[query.Problem](t, w.Body)
				unknown := slices.ContainsFunc(p.Errors, func(e query.ParamError) bool { return e.Param == name && e.Code == "unknown_parameter" })
				if unknown == has[name] {
					t.Errorf("%s %s: parameter %s is documented: %v, unknown: %v (%+v)", method, path, name, has[name], unknown, p.Errors)
				}
			}
		}
	}
}

// Threat row 16: without a token, or with a wrong one, every route answers 401, whatever is asked.
func TestEveryRoute_withoutToken_is401(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	routes := a.engine.Routes()
	if len(routes) < 10 {
		t.Fatalf("%d routes only", len(routes))
	}
	for _, route := range routes {
		for _, token := range []string{"", "x", rootToken + "x"} {
			for _, params := range []string{"", "?no_such=1", "?cursor=x"} {
				r := httptest.NewRequestWithContext(t.Context(), route.Method, inPath(route.Path, anyRecord)+params, strings.NewReader("{"))
				w := a.serve(r, token)
				if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s%s with the token %q gives %d", route.Method, route.Path, params, token, w.Code)
				}
				for name, want := range map[string]string{
					"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
					"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
				} {
					if got := w.Header().Get(name); got != want {
						t.Errorf("%s %s: %s is %q, want %q", route.Method, route.Path, name, got, want)
					}
				}
			}
		}
	}
}

func TestMeta(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory())
	var m struct {
		TZ           string
		Routes       []string
		Filters      []string
		Hidden       []string
		Restricted   bool
		Limits       map[string]int
		Capabilities map[string]bool
	}
	for token, restricted := range map[string]bool{rootToken: false, acmeToken: true} {
		m = parse[struct {
			TZ           string
			Routes       []string
			Filters      []string
			Hidden       []string
			Restricted   bool
			Limits       map[string]int
			Capabilities map[string]bool
		}](t, a.get(token, "/meta/").Body)
		if m.TZ != "UTC" || m.Restricted != restricted || m.Limits["page_size"] != query.MaxPageSize || !slices.Contains(m.Routes, "GET /search/") {
			t.Errorf("%s gets %+v", token, m)
		}
	}
	if got := a.get(hiddenToken, "/meta/").Body.String(); strings.Contains(got, `"filters":["log_id","user_id"`) || !strings.Contains(got, `"hidden":["ip_address"`) {
		t.Errorf("hidden fields: %s", got)
	}
}

// A search whose parameters come in a body is the same search.
func TestPostSearch(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(60)...))
	post := func(body, kind string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, base+"/search/", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return a.serve(r, acmeToken)
	}
	want := a.search(t, acmeToken, "?user_id=1&user_id=2&page_size=7&object_type=order")
	w := post(`{"user_id": ["1", "2"], "page_size": 7, "object_type": "order"}`, "application/json; charset=utf-8")
	got := parse[page](t, w.Body)
	if diff := cmp.Diff(ids(want), ids(got)); diff != "" || *got.NextCursor == "" || got.Next != nil {
		t.Errorf("%s; next %v", diff, got.Next)
	}
	next := parse[page](t, post(fmt.Sprintf(`{"user_id": ["1", "2"], "page_size": 7, "object_type": "order", "cursor": %q}`, *got.NextCursor), "application/json").Body)
	if diff := cmp.Diff(ids(a.search(t, acmeToken, *want.Next)), ids(next)); diff != "" || len(ids(next)) == 0 {
		t.Error(diff)
	}
	long := make([]string, 100)
	for i := range long {
		long[i] = strings.Repeat("x", 500)
	}
	data, _ := json.Marshal(map[string]any{"user_id": long})
	if w := post(string(data), "application/json"); w.Code != http.StatusOK {
		t.Errorf("100 long values give %d: %s", w.Code, w.Body)
	}
	for _, tt := range []struct {
		body, kind string
		status     int
		want       string
	}{
		{`{}`, "text/plain", 415, "unsupported"},
		{`{}`, "", 415, "unsupported"},
		{`{"user_id": "` + strings.Repeat("x", query.MaxBodyLength) + `"}`, "application/json", 413, "65536"},
		{`[]`, "application/json", 400, "(body)"},
		{``, "application/json", 400, "(body)"},
		{`{} {}`, "application/json", 400, "(body)"},
		{`{"user_id": {"a": 1}}`, "application/json", 400, "user_id"},
		{`{"user_id": null}`, "application/json", 400, "user_id"},
		{`{"user_id": []}`, "application/json", 400, "user_id"},
		{`{"user_id": "1", "user_id": "2"}`, "application/json", 400, "is there twice"},
		{`{"page_size": 1.5}`, "application/json", 400, "page_size"},
		{`{"nope": "1"}`, "application/json", 400, "unknown_parameter"},
	} {
		if w := post(tt.body, tt.kind); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%.60s gives %d %s, want %d with %s", tt.body, w.Code, w.Body, tt.status, tt.want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, base+"/search/?user_id=1", strings.NewReader(`{}`))
	r.Header.Set("Content-Type", "application/json")
	if w := a.serve(r, acmeToken); w.Code != 400 {
		t.Errorf("parameters in both give %d", w.Code)
	}
}

func TestLimits_ofTheRequest(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	if w := a.get(rootToken, "/search/", "X-Long", strings.Repeat("x", query.MaxHeaderLength)); w.Code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long header gives %d", w.Code)
	}
	if w := a.get(rootToken, "/search/?user_id="+url.QueryEscape(strings.Repeat("x", query.MaxURLLength))); w.Code != http.StatusRequestURITooLong {
		t.Errorf("a long URL gives %d", w.Code)
	}
}

func TestSearch_instants(t *testing.T) {
	t.Parallel()
	all := seed(60)
	a := newApp(t, storetest.NewMemory(all...), func(o *query.Options) { o.Clock = clockAt(noon.Add(30 * 60e9)) })
	for _, tt := range []struct {
		params string
		want   func(minute int) bool
	}{
		{"from=2026-11-23T12:10:00Z&to=2026-11-23T12:20:00Z", func(m int) bool { return m >= 10 && m < 20 }},
		{"from=2026-11-23T19:10:00%2B07:00&to=2026-11-23T19:20:00+07:00", func(m int) bool { return m >= 10 && m < 20 }},
		{"from=2026-11-23T12:50:00.001Z", func(m int) bool { return m > 50 }},
		{"last=15m", func(m int) bool { return m >= 15 && m < 30 }},
		{"last=1w", func(m int) bool { return m < 30 }},
		{"from_date=2026-11-23&to_date=2026-11-23&tz=Pacific/Kiritimati", func(int) bool { return false }},
		{"from_date=2026-11-24&to_date=2026-11-24&tz=Pacific/Kiritimati", func(int) bool { return true }},
	} {
		var want []string
		for _, r := range all {
			if tt.want(int(r.Timestamp.Sub(noon).Minutes())) {
				want = append(want, r.LogID)
			}
		}
		if diff := cmp.Diff(sorted(want), sorted(ids(a.search(t, rootToken, "?page_size=200&"+tt.params)))); diff != "" {
			t.Errorf("%s: %s", tt.params, diff)
		}
	}
	for _, tt := range []struct{ params, want string }{
		{"from=2026-11-23T12:10:00", "from invalid_date"},
		{"from=2026-11-23", "from invalid_date"},
		{"to=yesterday", "to invalid_date"},
		{"from=2026-11-23T12:10:00Z&to=2026-11-23T12:00:00Z", "from invalid_range"},
		{"from=2026-11-23T12:10:00Z&to_date=2026-11-23", "from conflict"},
		{"last=15m&from=2026-11-23T12:10:00Z", "last conflict"},
		{"last=15", "last invalid_value"},
		{"last=0m", "last invalid_value"},
		{"last=-1m", "last invalid_value"},
		{"last=100000m", "last invalid_value"},
		{"last=1h&cursor=x", "last conflict"},
		{"tz=Mars/Base", "tz invalid_value"},
		{"tz=Local", "tz invalid_value"},
		{"tz=..%2F..%2Fetc%2Fpasswd", "tz invalid_value"},
	} {
		p := a.problem(t, http.StatusBadRequest, rootToken, "/search/?"+tt.params)
		if got := p.Errors[0].Param + " " + p.Errors[0].Code; got != tt.want {
			t.Errorf("%s: %s, want %s", tt.params, got, tt.want)
		}
	}
	// The pages of a time up to now stay those of the first one.
	first := a.search(t, rootToken, "?last=15m&page_size=4")
	if !strings.Contains(*first.Next, "from=2026") || strings.Contains(*first.Next, "last=") {
		t.Errorf("next is %s", *first.Next)
	}
	if pages := a.walk(t, rootToken, "?last=15m&page_size=4", func(p page) *string { return p.Next }); len(pages) < 3 {
		t.Errorf("%d pages", len(pages))
	}
}
