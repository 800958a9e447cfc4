package query_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// exported is an export as a client gets it over a connection.
type exported struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	err     error
}

// serveApp listens, because trailers and cut answers need a connection. The engine recovers from panics as
// most do.
func serveApp(t *testing.T, s store.Searcher, change ...func(*query.Options)) *httptest.Server {
	t.Helper()
	a := newApp(t, s, change...)
	server := httptest.NewServer(a.engine)
	t.Cleanup(server.Close)
	return server
}

func export(t *testing.T, server *httptest.Server, token, params string) exported {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+base+"/export/"+params, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r)
	if err != nil {
		return exported{err: err}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return exported{answer.StatusCode, answer.Header, answer.Trailer, string(body), err}
}

// idsOf gives the log_ids of an export in any form.
func idsOf(t *testing.T, format, body string) []string {
	t.Helper()
	out := []string{}
	switch format {
	case "csv":
		rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(rows[0], "log_id")
		for _, r := range rows[1:] {
			out = append(out, r[at])
		}
	case "ndjson":
		lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
		for _, line := range lines[:len(lines)-1] {
			out = append(out, parse[map[string]any](t, strings.NewReader(line))["log_id"].(string))
		}
		if end := parse[struct{ Export struct{ Count int } }](t, strings.NewReader(lines[len(lines)-1])); end.Export.Count != len(out) {
			t.Errorf("the last line is %s, after %d records", lines[len(lines)-1], len(out))
		}
	default:
		for _, e := range parse[[]map[string]any](t, strings.NewReader(body)) {
			out = append(out, e["id"].(string))
			if e["specversion"] != "1.0" || e["data"].(map[string]any)["log_id"] != e["id"] || e["time"] == "" || !strings.HasPrefix(e["type"].(string), "audit.") {
				t.Errorf("the event is %v", e)
			}
		}
	}
	return out
}

// An export is the whole search, in each form, and in parts that are continued by the cursor or by the last
// record.
func TestExport_isTheSearch(t *testing.T) {
	t.Parallel()
	all := seed(1203)
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		server := serveApp(t, s)
		a := newApp(t, s)
		var want []string
		for _, p := range a.walk(t, acmeToken, "?page_size=200&object_type=order", func(p page) *string { return p.Next }) {
			want = append(want, ids(p)...)
		}
		for format, kind := range map[string]string{"csv": "text/csv", "ndjson": "application/x-ndjson", "cloudevents": "application/cloudevents-batch+json"} {
			e := export(t, server, acmeToken, "?object_type=order&format="+format)
			if e.err != nil || e.status != 200 || !strings.HasPrefix(e.header.Get("Content-Type"), kind) || !strings.HasPrefix(e.header.Get("Content-Disposition"), "attachment; filename=") {
				t.Fatalf("%s: %d %v %v", format, e.status, e.header, e.err)
			}
			if diff := cmp.Diff(want, idsOf(t, format, e.body)); diff != "" {
				t.Errorf("%s: %s", format, diff)
			}
			if e.trailer.Get("Audit-Export-Status") != "complete" || e.trailer.Get("Audit-Export-Count") != fmt.Sprint(len(want)) || e.trailer.Get("Audit-Export-Cursor") != "" {
				t.Errorf("%s: trailer %v", format, e.trailer)
			}
		}
		for _, by := range []string{"cursor", "after_log_id"} {
			var got []string
			params := "?object_type=order&format=ndjson&limit=250&sort=timestamp"
			for from := ""; ; {
				e := export(t, server, acmeToken, params+from)
				part := idsOf(t, "ndjson", e.body)
				got = append(got, part...)
				if e.trailer.Get("Audit-Export-Status") != "truncated" {
					break
				}
				from = "&cursor=" + e.trailer.Get("Audit-Export-Cursor")
				if by == "after_log_id" {
					from = "&after_log_id=" + part[len(part)-1]
				}
			}
			slices.Reverse(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("by %s: %s", by, diff)
			}
		}
	})
}

func TestExport_wrongParameters(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(10)...))
	cursor := *a.search(t, rootToken, "?page_size=3").NextCursor
	for params, want := range map[string]string{
		"?format=xml": "format invalid_value", "?fields=log_id,nope": "fields invalid_value", "?fields=log_id,log_id": "fields repeated_parameter",
		"?fields=log_id&format=ndjson": "fields conflict", "?limit=0": "limit out_of_range", "?cursor=x": "cursor invalid_cursor",
		"?cursor=" + cursor: "cursor cursor_mismatch", "?cursor=x&after_log_id=y": "after_log_id conflict", "?page_size=5": "page_size unknown_parameter",
		"?after_log_id=%00": "after_log_id invalid_value", "?last=1h&cursor=x": "last conflict",
	} {
		if p := a.problem(t, 400, rootToken, "/export/"+params); p.Errors[0].Param+" "+p.Errors[0].Code != want {
			t.Errorf("%s: %+v", params, p.Errors)
		}
	}
	a.problem(t, 404, rootToken, "/export/?after_log_id=none")
	foreign := *a.search(t, globexToken, "?page_size=1").NextCursor
	a.problem(t, 400, acmeToken, "/export/?cursor="+foreign)
	a.problem(t, 404, acmeToken, "/export/?after_log_id="+ids(a.search(t, globexToken, "?page_size=1"))[0])
}

// failing is a store that fails from a call on.
type failing struct {
	store.Searcher
	calls *atomic.Int32
	from  int32
}

func (f failing) Search(ctx context.Context, q store.Query) (store.Page, error) {
	if f.calls.Add(1) >= f.from {
		return store.Page{}, fmt.Errorf("%w: gone", store.ErrUnavailable)
	}
	return f.Searcher.Search(ctx, q)
}

// An export that cannot be finished looks broken to the client, also behind a handler that recovers from
// panics; one that cannot begin is a 503.
func TestExport_cut_isNoticed(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"csv", "ndjson", "cloudevents"} {
		server := serveApp(t, failing{storetest.NewMemory(seed(1203)...), new(atomic.Int32), 2})
		e := export(t, server, rootToken, "?format="+format)
		if e.status != 200 || !errors.Is(e.err, io.ErrUnexpectedEOF) || e.trailer.Get("Audit-Export-Status") != "" {
			t.Errorf("%s: %d, %v, %v", format, e.status, e.err, e.trailer)
		}
	}
	server := serveApp(t, failing{storetest.NewMemory(seed(3)...), new(atomic.Int32), 1})
	if e := export(t, server, rootToken, ""); e.status != http.StatusServiceUnavailable {
		t.Errorf("an export that cannot begin: %d %s", e.status, e.body)
	}
}

// Exports have places of their own: one more than MaxStreams is a 429, and searches go on.
func TestExport_tooManyAtOnce(t *testing.T) {
	t.Parallel()
	s := held{storetest.NewMemory(seed(4)...), make(chan struct{}), make(chan struct{})}
	a := newApp(t, s, func(o *query.Options) { o.MaxStreams = 1 })
	done := make(chan int)
	go func() { done <- a.get(acmeToken, "/export/").Code }()
	<-s.entered
	if w := a.get(acmeToken, "/export/"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the second export gives %d", w.Code)
	}
	if w := a.get(acmeToken, "/meta/"); w.Code != 200 {
		t.Errorf("another request gives %d", w.Code)
	}
	close(s.release)
	if code := <-done; code != 200 {
		t.Errorf("the first export gives %d", code)
	}
}

// Threat row 20: whatever a record holds, no cell of a CSV begins a formula, and each comes back as it was
// behind the apostrophe.
func TestExport_csv_hostileValues(t *testing.T) {
	t.Parallel()
	hostile := []string{
		`=cmd|' /C calc'!A0`, `+1+1`, `-1`, `@SUM(1)`, "\t=1", "\r=1", "\n=1", ` =1`, `"=1`, `'=1`, "\u00a0=1", "\u200b=1", "\ufeff=1", "＝1", "x\r\n=1", "a,b;c\td", `"",=1`, "plain", "", "\x00=1", "𝟙", "\u202e=1",
	}
	var records []event.Record
	for i, v := range hostile {
		records = append(records, event.Record{
			LogID: fmt.Sprintf("h%02d", i), Timestamp: noon, Action: "ADD", ObjectType: v, ObjectID: v, ObjectRepr: v, Username: v, FullName: v, UserID: v, Reason: v,
			UserAgent: v, ChangeMessage: event.TextMessage(v), ChangedFields: []string{v}, Extra: map[string]any{"k": v}, RequestID: v, TenantID: "acme",
		})
	}
	server := serveApp(t, storetest.NewMemory(records...))
	e := export(t, server, rootToken, "?sort=timestamp")
	rows, err := csv.NewReader(strings.NewReader(e.body)).ReadAll()
	if err != nil || len(rows) != len(hostile)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, row := range rows[1:] {
		for j, cell := range row {
			if startsFormula(cell) {
				t.Errorf("row %d, column %s: %q is a formula", i, rows[0][j], cell)
			}
		}
		// csv.Reader makes \n of \r\n.
		want := strings.ReplaceAll(strings.ReplaceAll(hostile[i], "\x00", "\uFFFD"), "\r\n", "\n")
		if got := strings.TrimPrefix(row[slices.Index(rows[0], "username")], "'"); got != want && "'"+got != want {
			t.Errorf("%q comes back as %q", hostile[i], got)
		}
	}
}

// startsFormula is the rule of OWASP, written down once more.
func startsFormula(cell string) bool {
	trimmed := strings.TrimLeft(cell, " \u00a0\u200b\ufeff\u202e\"")
	return cell != "" && strings.ContainsAny(cell[:1], "\t\r\n\x00") || trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@") || strings.HasPrefix(trimmed, "＝")
}

// FuzzCSVCell: for any value, the export has one row with it that a spreadsheet takes for text.
func FuzzCSVCell(f *testing.F) {
	for _, v := range []string{"=1", "\t=1", `"=1`, "a\r\n=b", "\xff=1", "'", "-", "x;=1"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		a := newApp(t, storetest.NewMemory(event.Record{LogID: "1", Timestamp: noon, Action: "ADD", ObjectRepr: v, Reason: v}))
		w := a.get(rootToken, "/export/?fields=object_repr,reason,log_id")
		rows, err := csv.NewReader(w.Body).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 3 || rows[1][2] != "1" {
			t.Fatalf("%q gives %q, %v", v, rows, err)
		}
		for _, cell := range rows[1] {
			if startsFormula(cell) {
				t.Fatalf("%q is a formula", cell)
			}
		}
	})
}

// Hidden fields are in no form of an export.
func TestExport_hiddenFields(t *testing.T) {
	t.Parallel()
	r := changed()
	r.Extra = map[string]any{"salary": "s3cret", "fine": 1}
	r.UserID, r.IPAddress = "s3cret", "10.9.9.9"
	r.Changes[0].Old, r.Changes[0].New = json.RawMessage(`"s3cret"`), json.RawMessage(`"s3cret"`)
	r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: "Salary", OldValue: json.RawMessage(`"s3cret"`), NewValue: json.RawMessage(`"s3cret"`)}})
	a := newApp(t, storetest.NewMemory(r))
	for _, format := range []string{"csv", "ndjson", "cloudevents"} {
		got := a.get(hiddenToken, "/export/?format="+format).Body.String()
		if strings.Contains(got, "s3cret") || strings.Contains(got, "10.9.9.9") || !strings.Contains(got, "fine") {
			t.Errorf("%s: %s", format, got)
		}
		if got := a.get(rootToken, "/export/?format="+format).Body.String(); !strings.Contains(got, "s3cret") || !strings.Contains(got, "10.9.9.9") {
			t.Errorf("%s for root: %s", format, got)
		}
	}
}

// accesses collects records of reading.
type accesses struct {
	records chan event.Record
	err     error
}

func (a *accesses) RecordAccess(_ context.Context, r event.Record) error {
	if a.err == nil {
		a.records <- r
	}
	return a.err
}

func (a *accesses) next(t *testing.T) event.Record {
	t.Helper()
	select {
	case r := <-a.records:
		return r
	default:
		t.Fatal("nothing is recorded")
		return event.Record{}
	}
}

// Threat row 26: who reads is recorded: who, what, how many; before an export as well as after it.
func TestAccess_readingIsRecorded(t *testing.T) {
	t.Parallel()
	rec := &accesses{records: make(chan event.Record, 10)}
	records := append(seed(20), batches()...)
	records[0].LogID = "first"
	a := newApp(t, storetest.NewMemory(records...), func(o *query.Options) { o.Access = query.Access{Recorder: rec} })
	for _, tt := range []struct {
		path, operation string
		rows            int
	}{
		{"/search/?user_id=1&page_size=3", "search", 3},
		{"/detail/first/", "detail", 1},
		{"/context/first/?before=1&after=2", "context", 4},
		{"/objects/customer/0/history/", "history", 2},
		{"/batches/one/?page_size=4", "batch", 4},
	} {
		w := a.get(acmeToken, tt.path, "User-Agent", "agent/1")
		if w.Code != 200 {
			t.Fatalf("%s gives %d: %s", tt.path, w.Code, w.Body)
		}
		r := rec.next(t)
		access := r.Extra["access"].(map[string]any)
		if r.Action != query.ActionAccess || r.ObjectType != query.ObjectTypeTrail || r.Username != "acme" || r.UserID != "acme" || r.TenantID != "acme" || r.UserAgent != "agent/1" ||
			access["operation"] != tt.operation || access["rows"] != tt.rows || access["path"] != base+strings.Split(tt.path, "?")[0] || r.HTTPRoute == "" || r.LogID == "" {
			t.Errorf("%s: %+v", tt.path, r)
		}
		if _, err := event.Encode(r); err != nil {
			t.Error(err)
		}
	}
	a.get(acmeToken, "/export/?format=ndjson")
	before, after := rec.next(t), rec.next(t)
	if before.Action != event.ActionExport || before.Outcome != event.OutcomeAttempted || before.Extra["access"].(map[string]any)["query"] != "format=ndjson" {
		t.Errorf("before the export: %+v", before)
	}
	if after.Action != event.ActionExport || after.Outcome != "success" || after.Extra["access"].(map[string]any)["rows"] != 26 {
		t.Errorf("after the export: %+v", after)
	}
	for _, path := range []string{"/meta/", "/openapi.json", "/detail/none/", "/search/?x=1"} { // nothing is shown
		a.get(acmeToken, path)
	}
	if len(rec.records) != 0 {
		t.Errorf("recorded as well: %+v", <-rec.records)
	}
}

// What cannot be recorded is not shown, unless the application wants it so.
func TestAccess_recorderFails(t *testing.T) {
	t.Parallel()
	for _, bestEffort := range []bool{false, true} {
		rec := &accesses{err: errors.New("secret-7")}
		a := newApp(t, storetest.NewMemory(seed(20)...), func(o *query.Options) { o.Access = query.Access{Recorder: rec, BestEffort: bestEffort} })
		want := 503
		if bestEffort {
			want = 200
		}
		for _, path := range []string{"/search/", "/export/", "/objects/customer/0/history/", "/objects/customer/0/state/"} {
			w := a.get(acmeToken, path)
			if w.Code != want || strings.Contains(w.Body.String(), "secret") || !bestEffort && strings.Contains(w.Body.String(), "customer") {
				t.Errorf("best effort %v: %s gives %d %s", bestEffort, path, w.Code, w.Body)
			}
		}
		if !strings.Contains(a.logs.String(), "secret-7") {
			t.Error("not in the log")
		}
	}
}

// The records of reading go into the store that is read, and are found there by the tenant's own people.
func TestAccessTo_store(t *testing.T) {
	t.Parallel()
	eachStore(t, seed(10), func(t *testing.T, s store.Searcher, _ bool) {
		w := s.(store.Writer)
		a := newApp(t, s, func(o *query.Options) {
			o.Access = query.Access{Recorder: query.AccessTo(w), Operations: []query.Operation{query.OperationDetail}, ClientIP: func(*gin.Context) string { return "192.0.2.7" }}
		})
		id := ids(a.search(t, acmeToken, "?page_size=1"))[0]
		if w := a.get(acmeToken, "/detail/"+id); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if r, ok := s.(interface{ Refresh(context.Context) error }); ok {
			if err := r.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for token, want := range map[string]int64{acmeToken: 1, globexToken: 0, rootToken: 1} {
			if p := a.search(t, token, "?action=ACCESS&object_type=audit_log&object_id="+id+"&ip_address=192.0.2.7"); *p.Total != want {
				t.Errorf("%s finds %d, want %d", token, *p.Total, want)
			}
		}
	})
}
