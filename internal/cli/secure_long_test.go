//go:build long

package cli

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/testservers"
)

// TestSecure goes the whole way on an OpenSearch with TLS and accounts, each part with the least rights that deploy/
// has for it, on both servers: setup, consume with a dead letter, replay, dlq retry, serve.
func TestSecure(t *testing.T) {
	t.Parallel()
	access := testservers.SecureOpenSearch(t)
	r := newRig(t)
	r.prefix = testservers.Name(t, testservers.SearchPrefix)
	r.variables["OPENSEARCH_INDEX_PREFIX"] = r.prefix
	t.Cleanup(func() {
		for _, path := range []string{r.prefix + "-2026.11", r.prefix + "-checkpoints", "_index_template/" + r.prefix} {
			access.Do(t, http.MethodDelete, path, "")
		}
	})
	as := func(onStream string, account testservers.Account) map[string]string {
		variables, _ := r.account(t, r.shipped(t, onStream))
		maps.Copy(variables, access.Variables(t, account))
		return variables
	}
	r.removeStreams(t)
	setup := as("audit-setup", access.Operator)
	for range 2 {
		if got := execute(t.Context(), setup, "setup", "--dead-letters", r.dead.Stream); got.code != ExitOK {
			t.Fatalf("setup: %+v", got)
		}
	}
	r.publish(t, 300, []byte("garbage"))
	// What one account may not do, another one's work does not need.
	if got := execute(t.Context(), as("audit-setup", access.Reader), "setup", "--dead-letters", r.dead.Stream); got.code != ExitFailed || !strings.Contains(got.stderr, "403") {
		t.Errorf("setup of a reader: %+v", got)
	}
	cmd, stderr := child(t, as("audit-consumer", access.Consumer), "consume", "--dead-letters", r.dead.Stream)
	await.Until(t, "the garbage is a dead letter and the rest is stored", func() bool {
		_, found := access.Do(t, http.MethodGet, r.prefix+"-*/_search?q=username:john.doe&track_total_hits=true&size=0", "")
		return strings.Contains(stderr.String(), "dead letter") && strings.Contains(found, `"total":{"value":300,`)
	})
	terminate(t, cmd)

	operator := as("audit-operator", access.Consumer)
	if got := execute(t.Context(), operator, "replay"); got.code != ExitOK || !strings.Contains(got.stdout, "301 read, 0 stored, 300 were stored already") {
		t.Errorf("replay: %+v", got)
	}
	r.bury(t, 20, 22, "for a test")
	if got := execute(t.Context(), operator, "dlq", "retry", "--all", "--by", "jane", "--dead-letters", r.dead.Stream); !strings.Contains(got.stdout, "3 stored") {
		t.Errorf("dlq retry: %+v", got)
	}

	variables := r.with("AUDIT_API_TOKENS", "me="+token)
	maps.Copy(variables, access.Variables(t, access.Reader))
	address, stop := serve(t, variables)
	checkServe(t, address, 300)
	for _, path := range []string{"facets/", "histogram/", "count/", "changes/", "objects/customer/7/history/", "objects/customer/7/state/", "users/", "export/?format=ndjson"} {
		if status, body := request(t, http.MethodGet, address+"/api/audit-logs/"+path, token); status != http.StatusOK {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	stop()
}
