package query_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func changed() event.Record {
	return event.Record{
		LogID: "019a0000-0000-7000-8000-000000000001", Timestamp: noon, TenantID: "acme", UserID: "7", Username: "ann",
		Action: event.ActionChange, ObjectType: "employee", ObjectID: "42", ObjectRepr: "Ann <b>",
		ChangeMessage: event.TableMessage([]event.MessageRow{
			{Field: "Salary", OldValue: json.RawMessage(`10`), NewValue: json.RawMessage(`20`)},
			{Field: "Name", OldValue: json.RawMessage(`null`), NewValue: json.RawMessage(`""`)},
		}),
		Changes: []event.Change{
			{Field: "salary", Label: "Salary", Type: event.TypeInteger, Old: json.RawMessage(`10`), New: json.RawMessage(`20`)},
			{Field: "name", Label: "Name", Type: event.TypeString, Old: json.RawMessage(`null`), New: json.RawMessage(`""`)},
		},
		ChangedFields: []string{"salary", "name"},
		IPAddress:     "10.0.0.1",
		Extra:         map[string]any{"salary": 5, "zeta": "z", "alpha": []any{1, "<"}, "user_id": "mine", "table": map[string]any{}},
	}
}

func TestDetail_allFields(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(changed()))
	for _, path := range []string{"/detail/019a0000-0000-7000-8000-000000000001/", "/detail/019a0000-0000-7000-8000-000000000001"} {
		w := a.get(rootToken, path)
		want := `{"schema_version":1,"log_id":"019a0000-0000-7000-8000-000000000001","timestamp":"2026-11-23T12:00:00Z","user_id":"7","username":"ann","tenant_id":"acme",` +
			`"action":"CHANGE","object_type":"employee","object_id":"42","object_repr":"Ann <b>",` +
			`"change_message":{"headers":["field","old_value","new_value"],"rows":[{"field":"Salary","old_value":10,"new_value":20},{"field":"Name","old_value":null,"new_value":""}]},` +
			`"changes":[{"field":"salary","label":"Salary","type":"integer","old":10,"new":20},{"field":"name","label":"Name","type":"string","old":null,"new":""}],` +
			`"changed_fields":["salary","name"],"ip_address":"10.0.0.1",` +
			`"alpha":[1,"<"],"salary":5,"zeta":"z","extra":{"table":{},"user_id":"mine"}}`
		got := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(w.Body.String())
		if diff := cmp.Diff(want, got); diff != "" || w.Code != 200 {
			t.Errorf("%s gives %d: %s", path, w.Code, diff)
		}
	}
}

func TestDetail_unknownFields_survive(t *testing.T) {
	t.Parallel()
	r, err := event.Decode([]byte(`{"schema_version":9,"log_id":"1","timestamp":"2026-11-23T12:00:00Z","action":"ADD","later":{"b":1,"a":2},"salary":1,"extra":{"later":"x","n":12345678901234567890}}`))
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, storetest.NewMemory(r))
	want := `{"schema_version":9,"log_id":"1","timestamp":"2026-11-23T12:00:00Z","action":"ADD","later":{"b":1,"a":2},"salary":1,"n":12345678901234567890,"extra":{"later":"x"}}`
	if got := a.get(rootToken, "/detail/1/").Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := a.get(hiddenToken, "/detail/1/").Body.String(); strings.Contains(got, "salary") {
		t.Errorf("a hidden field of the application's, unknown to the format, is shown: %s", got)
	}
}

func TestDetail_hiddenFields(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(changed()))
	got := a.get(hiddenToken, "/detail/019a0000-0000-7000-8000-000000000001/").Body.String()
	for _, secret := range []string{"10.0.0.1", `"user_id":"7"`, ":10,", ":20", `"salary":5`} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is shown: %s", secret, got)
		}
	}
	for _, shown := range []string{`{"field":"salary","label":"Salary","type":"integer","redacted":true}`, `{"field":"Salary","old_value":"[redacted]","new_value":"[redacted]"}`, `{"field":"Name","old_value":null,"new_value":""}`} {
		if !strings.Contains(got, shown) {
			t.Errorf("%s is missing: %s", shown, got)
		}
	}
	if got := a.get(rootToken, "/detail/019a0000-0000-7000-8000-000000000001/").Body.String(); !strings.Contains(got, `"old":10`) {
		t.Errorf("the stored record was redacted: %s", got)
	}

	r := changed()
	r.ChangeMessage = event.TextMessage("salary raised to 20")
	a = newApp(t, storetest.NewMemory(r))
	if got := a.get(hiddenToken, "/detail/"+r.LogID).Body.String(); strings.Contains(got, "raised") {
		t.Errorf("a text about a hidden column is shown: %s", got)
	}
}

func TestDetail_foreign_looksLikeMissing(t *testing.T) {
	t.Parallel()
	eachStore(t, []event.Record{changed()}, func(t *testing.T, s store.Searcher, _ bool) { foreignLooksMissing(t, newApp(t, s)) })
}

func foreignLooksMissing(t *testing.T, a *app) {
	t.Helper()
	if w := a.get(acmeToken, "/detail/019a0000-0000-7000-8000-000000000001/"); w.Code != http.StatusOK {
		t.Errorf("own: %d %s", w.Code, w.Body)
	}
	foreign := a.get(globexToken, "/detail/019a0000-0000-7000-8000-000000000001/")
	missing := a.get(globexToken, "/detail/019a0000-0000-7000-8000-000000000002/")
	if foreign.Code != http.StatusNotFound || foreign.Body.String() != missing.Body.String() {
		t.Errorf("foreign: %d %s\nmissing: %d %s", foreign.Code, foreign.Body, missing.Code, missing.Body)
	}
	if diff := cmp.Diff(missing.Header(), foreign.Header()); diff != "" {
		t.Error(diff)
	}
}

func TestDetail_badRequests(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	for path, want := range map[string]string{
		"/detail/a%00b/":     "log_id invalid_value",
		"/detail/%ff/":       "log_id invalid_value",
		"/detail/%E2%80%AE/": "log_id invalid_value",
		"/detail/" + strings.Repeat("x", 513) + "/": "log_id invalid_value",
		"/detail/1/?fields=a":                       "fields unknown_parameter",
		"/detail/1/?%zz":                            "(query) invalid_value",
	} {
		p := a.problem(t, http.StatusBadRequest, rootToken, path)
		if got := p.Errors[0].Param + " " + p.Errors[0].Code; got != want {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestDetail_etag(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(changed()))
	const path = "/detail/019a0000-0000-7000-8000-000000000001/"
	w := a.get(rootToken, path)
	tag := w.Header().Get("ETag")
	for header, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
		w := a.get(rootToken, path, "If-None-Match", header)
		if w.Code != want || (w.Body.Len() == 0) != (want == 304) || w.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("If-None-Match %s gives %d with %d bytes, %v", header, w.Code, w.Body.Len(), w.Header())
		}
	}
	if w := a.get(hiddenToken, path, "If-None-Match", tag); w.Code != 200 {
		t.Errorf("the tag of another view of the record gives %d", w.Code)
	}
	if w := a.get("", path, "If-None-Match", tag); w.Code != 401 {
		t.Errorf("without a token: %d", w.Code)
	}
}
