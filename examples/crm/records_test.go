package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
	"github.com/gormtrail/audit/store/storetest"
)

// TestRecords is how an application tests its trail: requests through its own router, and a table of what
// they recorded.
func TestRecords(t *testing.T) {
	t.Parallel()
	db, err := openDatabase(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeDatabase(db); err != nil {
			t.Error(err)
		}
	})
	if err := db.AutoMigrate(&Customer{}, &Order{}, &Employee{}, &Dependent{}); err != nil {
		t.Fatal(err)
	}
	rec := audittest.New()
	records := &trail{config: rec.Config(audit.Config{}), store: storetest.NewMemory()}
	if _, err := useAudit(db, records); err != nil {
		t.Fatal(err)
	}
	router, err := newRouter(db, records)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		as, method, path, body string
		status                 int
		records                []audittest.Want
	}{
		{
			"alice", http.MethodPost, "/api/customers", `{"name": "John Smith", "email": "john@example.com", "phone": "0987"}`, http.StatusCreated,
			[]audittest.Want{{Action: audit.ActionAdd, Object: "customer 1", Under: "-", By: "alice", Repr: "John Smith"}},
		},
		{
			"bob", http.MethodPut, "/api/customers/1", `{"phone": "1234"}`, http.StatusOK,
			[]audittest.Want{{Action: audit.ActionChange, Object: "customer 1", By: "bob", Fields: audittest.Fields{"Phone number": {"0987", "1234"}}}},
		},
		{"bob", http.MethodPut, "/api/customers/1", `{"phone": "1234"}`, http.StatusOK, nil},
		{"bob", http.MethodPost, "/api/customers", `{"name": "John again", "email": "john@example.com"}`, http.StatusConflict, nil},
		{
			"alice", http.MethodPost, "/api/employees", `{"name": "Jane Roe", "department": "Sales", "salary_cents": 540000}`, http.StatusCreated,
			[]audittest.Want{{Action: audit.ActionAdd, Object: "employee 1", Fields: audittest.Fields{
				"id": {audittest.None, 1}, "name": {audittest.None, "Jane Roe"}, "department": {audittest.None, "Sales"},
				"salary_cents": {audittest.None, audittest.Masked},
			}}},
		},
		{
			"alice", http.MethodPost, "/api/employees/1/dependents", `{"name": "Ann Roe", "relationship": "child"}`, http.StatusCreated,
			[]audittest.Want{{Action: audit.ActionAdd, Object: "dependent 1", Under: "employee 1"}},
		},
		{ // its dependent goes with it, and is in this record
			"alice", http.MethodDelete, "/api/employees/1", "", http.StatusNoContent,
			[]audittest.Want{{Action: audit.ActionDelete, Object: "employee 1", Under: "-", By: "alice"}},
		},
		{"", http.MethodDelete, "/api/customers/1", "", http.StatusUnauthorized, nil},
	} {
		req := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		if c.as != "" {
			req.Header.Set("Authorization", "Bearer crm-demo-token-"+c.as)
		}
		answer := httptest.NewRecorder()
		router.ServeHTTP(answer, req)
		if answer.Code != c.status {
			t.Errorf("%s %s: status %d, want %d: %s", c.method, c.path, answer.Code, c.status, answer.Body)
		}
		rec.Reset().Match(t, c.records...)
	}
}
