package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
)

func TestNew_theChangeIsInTheTrail(t *testing.T) {
	t.Parallel()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := New(db)
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string, with func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		with(r)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	nobody := func(*http.Request) {}
	jane := func(r *http.Request) { r.SetBasicAuth("jane", "secret") }
	if w := send(http.MethodPut, "/customers/1", `{"phone":"0902"}`, nobody); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody: %d", w.Code)
	}
	if w := send(http.MethodPut, "/customers/9", `{"phone":"0902"}`, jane); w.Code != http.StatusNotFound {
		t.Errorf("no such customer: %d", w.Code)
	}
	if w := send(http.MethodPut, "/customers/1", `{"phone":"0902"}`, jane); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := send(http.MethodGet, "/api/audit-logs/search/", "", nobody); w.Code != http.StatusUnauthorized {
		t.Errorf("the trail without a token: %d", w.Code)
	}
	w := send(http.MethodGet, "/api/audit-logs/export/?format=ndjson&object_type=customer", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
	for _, want := range []string{`"username":"jane"`, `"0901"`, `"0902"`, `"http_route":"/customers/{id}"`} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %s in %s", w.Code, want, w.Body)
		}
	}
}

// TestNew_manyAtOnce: a pool that opens a second connection would give it another, empty database.
func TestNew_manyAtOnce(t *testing.T) {
	t.Parallel()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := New(db)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/customers/1", strings.NewReader(`{"phone":"0902"}`))
			r.SetBasicAuth("jane", "secret")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != http.StatusNoContent {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
}
