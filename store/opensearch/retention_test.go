package opensearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func TestDeleteBefore_removesWholeMonthsOnly(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	operator := asOperator(t, s)
	var records []event.Record
	for i, at := range []time.Time{
		november.AddDate(-27, 0, 0), // out of range: has no month
		november.AddDate(0, -3, 0), november.AddDate(0, -2, 0), november.AddDate(0, -1, 0), november,
	} {
		records = append(records, record(i, func(r *event.Record) { r.Timestamp = at }))
	}
	writeAll(t, s, docs(t, records...))
	august, september, october := s.names.of(records[1].Timestamp), s.names.of(records[2].Timestamp), s.names.of(records[3].Timestamp)
	raw(t, s, http.MethodPost, "/"+september+"/_close", nil)
	months, err := operator.Months(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	want := []Month{
		{first, august, false},
		{first.AddDate(0, 1, 0), september, true},
		{first.AddDate(0, 2, 0), october, false},
		{first.AddDate(0, 3, 0), s.names.of(november), false},
	}
	if diff := cmp.Diff(want, months); diff != "" {
		t.Errorf("months (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		before time.Time
		want   []string
	}{
		{first.AddDate(0, 1, 0).Add(-1), nil}, // August has not ended
		{first.AddDate(0, 2, 0), []string{august, september}},
		{first.AddDate(0, 2, 20), nil},
	} {
		got, err := operator.DeleteBefore(t.Context(), c.before)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("before %s: removed %v, %v, want %v", c.before, got, err, c.want)
		}
	}
	if ids := found(t, s, store.Query{Ascending: true}); !slices.Equal(ids, []string{records[0].LogID, records[3].LogID, records[4].LogID}) {
		t.Errorf("left are %v", ids)
	}
	// An old record that comes once more makes its month anew.
	if got := writeAll(t, s, docs(t, records[1])); got[0] != store.Stored {
		t.Errorf("got %v", got)
	}
}

func TestSetPolicy_withoutThePlugin_saysSo(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := asOperator(t, s).SetPolicy(t.Context(), 12); !errors.Is(err, ErrNoPlugin) {
		t.Errorf("got %v", err)
	}
	if _, err := asOperator(t, s).SetPolicy(t.Context(), 0); !errors.Is(err, ErrConfig) {
		t.Errorf("0 months: %v", err)
	}
}

// ism answers as the plugin does according to its documentation. The plugin itself is not to be had for the
// servers of these tests: here the requests are shown, not that a server keeps to the policy.
type ism struct {
	t        *testing.T
	policy   json.RawMessage
	managed  map[string]bool
	requests []string
}

func (f *ism) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.requests = append(f.requests, strings.TrimSuffix(r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery, "?"))
	parts := strings.Split(r.URL.Path, "/")
	index := parts[len(parts)-1]
	switch {
	case strings.HasPrefix(r.URL.Path, "/_resolve/"):
		answer(w, 200, `{"indices":[{"name":"audit-logs-2026.10","attributes":["open"]},{"name":"audit-logs-2026.11","attributes":["open"]},{"name":"audit-logs-out-of-range","attributes":["open"]}]}`)
	case r.Method == http.MethodGet && f.policy == nil:
		answer(w, 404, `{"error":{"root_cause":[{"type":"status_exception","reason":"Policy not found"}],"type":"status_exception","reason":"Policy not found"},"status":404}`)
	case r.Method == http.MethodGet:
		answer(w, 200, `{"_id":"audit-logs-retention","_version":3,"_seq_no":7,"_primary_term":2,`+string(f.policy[1:]))
	case r.Method == http.MethodPut:
		f.policy = body
		answer(w, 201, `{"_id":"audit-logs-retention","_version":1,"_primary_term":2,"_seq_no":7,"policy":{}}`)
	case parts[3] == "add" && f.managed[index]:
		answer(w, 200, `{"updated_indices":0,"failures":true,"failed_indices":[{"index_name":"`+index+`","index_uuid":"x","reason":"This index already has a policy, use the update policy API to update index policies"}]}`)
	default:
		f.managed[index] = true
		answer(w, 200, `{"updated_indices":1,"failures":false,"failed_indices":[]}`)
	}
}

func TestSetPolicy_requests(t *testing.T) {
	t.Parallel()
	fake := &ism{t: t, managed: map[string]bool{}}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	s, err := New(Config{Addresses: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, c := range []struct {
		months   int
		age      string
		requests []string
	}{
		{12, "403d", []string{
			"GET /_plugins/_ism/policies/audit-logs-retention", "PUT /_plugins/_ism/policies/audit-logs-retention",
			"POST /_plugins/_ism/add/audit-logs-2026.10", "POST /_plugins/_ism/add/audit-logs-2026.11",
		}},
		{24, "775d", []string{
			"GET /_plugins/_ism/policies/audit-logs-retention", "PUT /_plugins/_ism/policies/audit-logs-retention?if_primary_term=2&if_seq_no=7",
			"POST /_plugins/_ism/add/audit-logs-2026.10", "POST /_plugins/_ism/change_policy/audit-logs-2026.10",
			"POST /_plugins/_ism/add/audit-logs-2026.11", "POST /_plugins/_ism/change_policy/audit-logs-2026.11",
		}},
	} {
		fake.requests = nil
		name, err := s.SetPolicy(t.Context(), c.months)
		if err != nil || name != "audit-logs-retention" {
			t.Fatalf("%d months: %q, %v", c.months, name, err)
		}
		requests := slices.DeleteFunc(fake.requests, func(r string) bool { return strings.Contains(r, "/_resolve/") })
		if diff := cmp.Diff(c.requests, requests); diff != "" {
			t.Errorf("%d months (-want +got):\n%s", c.months, diff)
		}
		want := fmt.Sprintf(`{"policy":{"default_state":"keep","description":"made by github.com/gormtrail/audit: indices of audit records are removed after %d months",`+
			`"ism_template":[{"index_patterns":["audit-logs-2*"],"priority":100}],"states":[{"actions":[],"name":"keep","transitions":`+
			`[{"conditions":{"min_index_age":%q},"state_name":"remove"}]},{"actions":[{"delete":{}}],"name":"remove","transitions":[]}]}}`, c.months, c.age)
		if diff := cmp.Diff(want, string(fake.policy)); diff != "" {
			t.Errorf("%d months (-want +got):\n%s", c.months, diff)
		}
	}
}
