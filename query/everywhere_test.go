package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// marked gives a record in all of whose fields the mark is, of the tenant.
func marked(mark, tenant string, n int) event.Record {
	id := fmt.Sprintf("%s-%d", tenant, n)
	return event.Record{
		LogID: id, Timestamp: noon.Add(time.Duration(n) * time.Minute), TenantID: tenant, UserID: mark, Username: mark, FullName: mark, ActorType: mark,
		Action: event.ActionChange, ObjectType: "thing", ObjectID: "7", ObjectRepr: mark, ChangeMessage: event.TableMessage([]event.MessageRow{{Field: "secret", OldValue: raw(`"` + mark + `"`), NewValue: raw(`"` + mark + `"`)}}),
		Changes:       []event.Change{{Field: "secret", Label: "secret", Old: raw(`"` + mark + `"`), New: raw(`"` + mark + `"`)}},
		ChangedFields: []string{"secret"}, IPAddress: mark, UserAgent: mark, SessionKey: "session", RequestID: "request", TraceID: "trace", SpanID: mark,
		HTTPRoute: mark, Source: mark, Reason: mark, Service: mark, Environment: mark, Host: mark, SourceModel: "part", SourcePK: "3", SourceRepr: mark,
		BatchID: "batch", BatchAction: event.ActionImport, BatchSummary: n == 0, ErrorCount: 1, Errors: []string{mark}, TxID: "tx", Table: mark,
		Extra: map[string]any{"salary": mark, "other": mark},
	}
}

// everyRequest gives requests to every route of the engine, with the ids of the record and with the
// parameters that show most.
func everyRequest(a *app, r event.Record) []*http.Request {
	var out []*http.Request
	more := map[string][]string{
		"/facets/":    {"?fields=action,object_type,object_id,user_id,username,full_name,tenant_id,source_model,batch_action,batch_id,ip_address,changed_fields&size=100"},
		"/histogram/": {"?by=action", "?by=object_type"}, "/count/": {"?total=exact"}, "/users/": {"?size=50"},
		"/export/": {"?format=csv", "?format=ndjson", "?format=cloudevents"}, "/changes/": {"?limit=1000"},
		"/context/:log_id/": {"?scope=request", "?scope=session", "?scope=object", "?before=50&after=50", "?scope=batch"},
		"/search/":          {"?page_size=200", "?page_size=200&sort=timestamp", "?not_object_id=x&page_size=200"},
	}
	for _, route := range a.engine.Routes() {
		path := strings.TrimPrefix(route.Path, base)
		if !strings.HasSuffix(path, "/") && path != "/openapi.json" {
			continue // the same as with the last slash
		}
		for _, params := range append([]string{""}, more[path]...) {
			if route.Method == http.MethodPost {
				params = ""
			}
			// A live tail has an end here: the time of its request.
			q := httptest.NewRequestWithContext(context.Background(), route.Method, base+inPath(path, r)+params, strings.NewReader(`{"page_size": 200}`))
			q.Header.Set("Content-Type", "application/json")
			out = append(out, q)
		}
	}
	return out
}

// ended makes the live tail of an app end after what is there.
func ended(o *query.Options) {
	done := make(chan struct{})
	close(done)
	o.Done = done
}

// Threat row 15, on every route of the engine: what one tenant has done is not in any answer to another,
// whatever ids they know; and answers the tenant gets of its own.
func TestIsolation_everyRoute(t *testing.T) {
	t.Parallel()
	var records []event.Record
	for n := range 12 {
		records = append(records, marked("acme0secret", "acme", n), marked("globex0secret", "globex", n))
	}
	foreign := records[0]
	eachStore(t, records, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s, ended)
		shown := 0
		for _, r := range everyRequest(a, foreign) {
			w := a.serve(r, globexToken)
			body := w.Body.String()
			if strings.Contains(body, "acme0secret") || strings.Contains(body, "acme-") || w.Code >= 500 && w.Code != http.StatusNotImplemented {
				t.Errorf("%s %s shows globex what is acme's: %d %.300s", r.Method, r.URL, w.Code, body)
			}
			if strings.Contains(body, "globex0secret") {
				shown++
			}
			if strings.Contains(r.URL.Path, "acme-") && w.Code != http.StatusNotFound && w.Code != http.StatusBadRequest {
				t.Errorf("%s of a foreign record: %d, want 404", r.URL, w.Code)
			}
		}
		if shown < 8 {
			t.Errorf("only %d answers show the caller's own records: the test hits too little", shown)
		}
	})
}

// Counts do not tell of foreign records either.
func TestIsolation_counts(t *testing.T) {
	t.Parallel()
	all := seed(60)
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s)
		if _, ok := s.(store.Counter); !ok {
			a.problem(t, http.StatusNotImplemented, acmeToken, "/count/")
			return
		}
		var sum struct {
			Buckets []struct{ Count int64 }
			Facets  map[string]struct {
				Values []struct {
					Value string
					Count int64
				}
			}
			Count int64
		}
		if err := json.Unmarshal(a.get(acmeToken, "/count/?tenant_id=globex&tenant_id=acme").Body.Bytes(), &sum); err != nil || sum.Count != 30 {
			t.Errorf("count is %d, %v", sum.Count, err)
		}
		if err := json.Unmarshal(a.get(acmeToken, "/histogram/").Body.Bytes(), &sum); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, b := range sum.Buckets {
			total += b.Count
		}
		if total != 30 {
			t.Errorf("the histogram has %d records", total)
		}
		// The facet of the tenants ignores the caller's filter, never the grant.
		if err := json.Unmarshal(a.get(acmeToken, "/facets/?fields=tenant_id&tenant_id=globex").Body.Bytes(), &sum); err != nil {
			t.Fatal(err)
		}
		if f := sum.Facets["tenant_id"]; len(f.Values) != 1 || f.Values[0].Value != "acme" || f.Values[0].Count != 30 {
			t.Errorf("the facet is %+v", f)
		}
	})
}

// What is hidden from a caller is in no answer of any route, and cannot be asked for.
func TestHidden_everyRoute(t *testing.T) {
	t.Parallel()
	var records []event.Record
	for n := range 4 {
		r := marked("hidden0secret", "acme", n)
		records = append(records, r)
	}
	hidden := []string{
		"user_id", "username", "full_name", "actor_type", "object_repr", "changes.secret", "ip_address", "user_agent", "span_id", "http_route", "source", "reason", "service",
		"environment", "host", "source_repr", "errors", "table", "extra.salary", "extra.other",
	}
	eachStore(t, records, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s, ended, func(o *query.Options) { o.Authorizer = granting(query.Grant{Principal: "x", Hidden: hidden}) })
		for _, r := range everyRequest(a, records[0]) {
			if w := a.serve(r, ""); strings.Contains(w.Body.String(), "hidden0secret") {
				t.Errorf("%s %s shows what is hidden: %d %.500s", r.Method, r.URL, w.Code, w.Body)
			}
		}
		for _, params := range []string{
			"change_field=secret&change_to=hidden0secret", "change_field=secret", "extra=salary%3Dhidden0secret", "extra=salary.base%3D1", "search_term=hidden0secret",
			"user_id=hidden0secret", "not_ip_address=10.0.0.1",
		} {
			for _, path := range []string{"/search/", "/count/", "/facets/", "/histogram/", "/export/", "/changes/", "/stream/", "/users/", "/objects/thing/7/history/", "/batches/batch/"} {
				if p := a.problem(t, http.StatusBadRequest, "", path+"?"+params); p.Errors[0].Code != "hidden_field" {
					t.Errorf("%s?%s: %+v", path, params, p.Errors)
				}
			}
		}
		for _, path := range []string{"/facets/?fields=user_id", "/users/?size=5", "/users/hidden0secret/"} {
			if p := a.problem(t, http.StatusBadRequest, "", path); p.Errors[0].Code != "hidden_field" {
				t.Errorf("%s: %+v", path, p.Errors)
			}
		}
	})
}

// A record whose every text is hostile goes through every route as data: the answers are what they say they
// are, and JSON stays JSON.
func TestHostileValues_everyRoute(t *testing.T) {
	t.Parallel()
	var records []event.Record
	for n, v := range []string{
		"<script>alert(1)</script>", "\u202eevil\u2066", "a\x00b\x07\x1b[31m", "\"}],\"x\":[{\"", "%00%0d%0aSet-Cookie: a=b", "\r\ndata: x\r\n\r\n", "'; DROP TABLE audit_logs; --", "\u2028\u2029", strings.Repeat("𝕏", 2000), "=cmd|' /C calc'!A0", "../../etc/passwd", "null", "{{.}}${7*7}",
	} {
		r := marked("plain", "acme", n)
		r.UserID, r.Username, r.FullName, r.ObjectRepr, r.Reason, r.UserAgent, r.Service, r.SourceRepr, r.Host, r.Errors = v, v, v, v, v, v, v, v, v, []string{v}
		r.ObjectID, r.SourcePK = "7", "3"
		data, _ := json.Marshal(strings.ToValidUTF8(v, ""))
		r.Changes[0].Old, r.Changes[0].New = data, data
		r.Extra = map[string]any{v: v}
		records = append(records, r)
	}
	eachStore(t, records, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s, ended)
		for _, r := range everyRequest(a, marked("plain", "acme", 0)) {
			w := a.serve(r, rootToken)
			kind := w.Header().Get("Content-Type")
			if w.Code >= 500 && w.Code != http.StatusNotImplemented || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%s %s: %d %.300s", r.Method, r.URL, w.Code, w.Body)
			}
			switch {
			case strings.Contains(kind, "json") && !strings.Contains(kind, "ndjson"):
				if !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s is no JSON: %.300s", r.URL, w.Body)
				}
			case strings.Contains(kind, "ndjson"):
				for line := range strings.Lines(w.Body.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("%s has the line %.300s", r.URL, line)
					}
				}
			case strings.Contains(kind, "text/event-stream"):
				for line := range strings.Lines(w.Body.String()) {
					if line != "\n" && !strings.HasPrefix(line, "data: {") && !strings.HasPrefix(line, "event: record") && !strings.HasPrefix(line, "id: ") && !strings.HasPrefix(line, ":") {
						t.Errorf("%s has the line %q", r.URL, line)
					}
				}
			case strings.Contains(kind, "csv"):
			default:
				t.Errorf("%s is %s", r.URL, kind)
			}
		}
	})
}

// Fault row 69: what would be dear is refused with what is allowed, before the store is asked.
func TestFault69_dearRequests_areRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	many := ""
	for i := range 101 {
		many += fmt.Sprintf("user_id=%d&", i)
	}
	for path, status := range map[string]int{
		"/search/?user_id=" + strings.Repeat("x", 10_000): 414,
		"/search/?" + many: 400,
		"/search/?search_term=" + strings.Repeat("w+", 10_000):          414,
		"/search/?search_term=" + strings.Repeat("w+", 17) + "x":        400,
		"/search/?from_offset=10000":                                    400,
		"/search/?from_offset=1000000000":                               400,
		"/search/?page_size=100000":                                     400,
		"/search/?search_term=*":                                        400,
		"/search/?search_term=%2F.*%2F":                                 400,
		"/facets/?size=1000000":                                         400,
		"/facets/?fields=log_id":                                        400,
		"/histogram/?max_buckets=100000":                                400,
		"/context/1/?before=1000000":                                    400,
		"/changes/?limit=1000000":                                       400,
		"/export/?limit=1000000000":                                     400,
		"/users/?size=100000":                                           400,
		"/search/?" + strings.Repeat("extra=a%3Db&", 17):                400,
		"/objects/customer/" + strings.Repeat("x", 2000) + "/history/":  400,
		"/batches/" + strings.Repeat("x", 2000) + "/":                   400,
		"/search/?change_field=a&change_to=" + strings.Repeat("x", 600): 400,
		"/search/?cursor=" + strings.Repeat("A", 6000):                  400,
		"/search/?ip_address=0.0.0.0%2F0":                               400,
	} {
		if w := a.get(rootToken, path); w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
			t.Errorf("%.80s gives %d %s, want %d", path, w.Code, w.Body, status)
		}
	}
}

// Fault row 69: a hundred requests of one caller at once are served or refused with 429, and others are
// served meanwhile.
func TestFault69_manyAtOnce_othersAreServed(t *testing.T) {
	t.Parallel()
	s := held{storetest.NewMemory(seed(20)...), make(chan struct{}), make(chan struct{})}
	a := newApp(t, s, func(o *query.Options) { o.MaxConcurrent = 8 })
	codes := make(chan int, 100)
	for range 8 {
		go func() { codes <- a.get(acmeToken, "/search/").Code }()
	}
	for range 8 {
		<-s.entered // all places are taken, and stay so
	}
	for range 92 {
		w := a.get(acmeToken, "/search/")
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("one more gives %d", w.Code)
		}
	}
	other := make(chan int)
	go func() { other <- a.get(globexToken, "/search/").Code }()
	<-s.entered
	close(s.release)
	if code := <-other; code != http.StatusOK {
		t.Errorf("another caller gets %d", code)
	}
	for range 8 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("one of the eight gets %d", code)
		}
	}
}
