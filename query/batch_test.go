package query_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func granting(g query.Grant) query.Authorizer {
	return query.AuthorizerFunc(func(*gin.Context, query.Operation) (query.Grant, error) { return g, nil })
}

type batchBody struct {
	BatchID        string `json:"batch_id"`
	BatchAction    string `json:"batch_action"`
	First, Last    time.Time
	Summary        map[string]any
	TotalProcessed *int64 `json:"total_processed"`
	ErrorCount     *int64 `json:"error_count"`
	Errors         []string
	page
}

// batches gives an import with a summary, and one without.
func batches() []event.Record {
	var records []event.Record
	for i := range 20 {
		records = append(records, event.Record{
			LogID: fmt.Sprintf("b%02d", i), Timestamp: noon.Add(time.Duration(i) * time.Second), Action: event.ActionAdd, TenantID: []string{"acme", "globex"}[i/15],
			ObjectType: "customer", ObjectID: fmt.Sprint(i), BatchID: []string{"one", "two"}[i/15], BatchAction: event.ActionImport,
		})
	}
	return append(records, event.Record{
		LogID: "sum", Timestamp: noon.Add(time.Hour), Action: event.ActionImport, TenantID: "acme", ObjectType: "customer", BatchID: "one",
		BatchAction: event.ActionImport, BatchSummary: true, TotalProcessed: 15, ErrorCount: 2, Errors: []string{"row 3: no", "row 9: <b>"},
		ChangeMessage: event.TextMessage("15 processed, 2 errors"),
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	eachStore(t, batches(), func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s)
		read := func(token, path string) batchBody {
			w := a.get(token, "/batches/"+path)
			if w.Code != http.StatusOK {
				t.Fatalf("%s gives %d: %s", path, w.Code, w.Body)
			}
			return parse[batchBody](t, w.Body)
		}
		b := read(acmeToken, "one/?page_size=10")
		if b.BatchAction != "IMPORT" || !b.First.Equal(noon) || !b.Last.Equal(noon.Add(time.Hour)) || b.Summary["log_id"] != "sum" || *b.TotalProcessed != 15 || *b.ErrorCount != 2 {
			t.Errorf("got %+v", b)
		}
		if diff := cmp.Diff([]string{"row 3: no", "row 9: <b>"}, b.Errors); diff != "" {
			t.Error(diff)
		}
		if *b.Total != 16 || len(b.Results) != 10 {
			t.Errorf("%d of %d", len(b.Results), *b.Total)
		}
		if rest := read(acmeToken, "one/"+*b.Next); len(rest.Results) != 6 || rest.Next != nil {
			t.Errorf("then %d", len(rest.Results))
		}
		if b := read(acmeToken, "one/?action=ADD&sort=timestamp"); *b.Total != 15 || b.Results[0]["log_id"] != "b00" || *b.ErrorCount != 2 {
			t.Errorf("filtered: %+v", b)
		}
		if b := read(globexToken, "two/"); b.Summary != nil || b.TotalProcessed != nil || len(b.Errors) != 0 || *b.Total != 5 {
			t.Errorf("without summary: %+v", b)
		}
		a.problem(t, 404, acmeToken, "/batches/two/")
		a.problem(t, 404, acmeToken, "/batches/none/")
	})
	hidden := newApp(t, storetest.NewMemory(batches()...), func(o *query.Options) {
		o.Authorizer = granting(query.Grant{Principal: "x", Hidden: []string{"errors", "error_count", "batch_action"}})
	})
	b := parse[batchBody](t, hidden.get("", "/batches/one/").Body)
	if len(b.Errors) != 0 || b.ErrorCount != nil || b.BatchAction != "" || b.Summary["errors"] != nil || *b.TotalProcessed != 15 {
		t.Errorf("what is hidden: %+v", b)
	}
}

type contextBody struct {
	Scope         string
	Scopes        map[string][]string
	Before, After []map[string]any
	Record        map[string]any
	HasBefore     bool `json:"has_before"`
	HasAfter      bool `json:"has_after"`
}

func TestContext(t *testing.T) {
	t.Parallel()
	all := seed(60)
	for i := range all {
		all[i].LogID = fmt.Sprintf("c%02d", i)
		all[i].Timestamp = noon.Add(time.Duration(i) * time.Minute)
		if i < 30 {
			all[i].SessionKey = fmt.Sprint("s", i%5)
		}
	}
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s)
		for _, tt := range []struct {
			token, params string
			before, after []string
		}{
			{rootToken, "", []string{"c10", "c11", "c12", "c13", "c14", "c15", "c16", "c17", "c18", "c19"}, []string{"c21", "c22", "c23", "c24", "c25", "c26", "c27", "c28", "c29", "c30"}},
			{rootToken, "?before=2&after=1", []string{"c18", "c19"}, []string{"c21"}},
			{rootToken, "?before=0&after=0", []string{}, []string{}},
			{acmeToken, "?before=2&after=2", []string{"c16", "c18"}, []string{"c22", "c24"}},
			{rootToken, "?scope=request", []string{"c18", "c19"}, []string{}},
			{rootToken, "?scope=session&before=2", []string{"c10", "c15"}, []string{"c25"}},
			{rootToken, "?scope=user&before=2&after=2", []string{"c14", "c17"}, []string{"c23", "c26"}},
			{rootToken, "?scope=object", []string{}, []string{"c21", "c44", "c45"}},
		} {
			w := a.get(tt.token, "/context/c20/"+tt.params)
			if w.Code != 200 {
				t.Fatalf("%s gives %d: %s", tt.params, w.Code, w.Body)
			}
			c := parse[contextBody](t, w.Body)
			if diff := cmp.Diff(tt.before, ids(page{Results: c.Before})) + cmp.Diff(tt.after, ids(page{Results: c.After})); diff != "" || c.Record["log_id"] != "c20" {
				t.Errorf("%s: %s", tt.params, diff)
			}
		}
		for path, status := range map[string]int{
			"/context/c20/?scope=trace": 400, "/context/c40/?scope=session": 400, "/context/c20/?before=51": 400, "/context/none/": 404, "/context/c20/?page_size=1": 400,
		} {
			a.problem(t, status, rootToken, path)
		}
		a.problem(t, 404, globexToken, "/context/c20/")
		if p := a.problem(t, 400, hiddenToken, "/context/c20/?scope=user"); p.Errors[0].Param != "scope" {
			t.Errorf("a hidden scope: %+v", p)
		}
	})
}
