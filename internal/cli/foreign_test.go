package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream/rabbit"
)

// foreign are messages of other producers: those of the specification's own one, which is written in Python, and of
// versions of this module that do not exist yet.
var foreign = []struct {
	id, payload string
	// found are parameters of a search that must find it, and none of which finds another of them.
	found []string
	// detail are parts of its detail.
	detail []string
}{
	{
		"550e8400-e29b-41d4-a716-446655440000",
		// json.dumps escapes everything that is not ASCII; the primary keys of Django are numbers.
		`{"log_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": "2024-01-02T03:04:05.678901", "user_id": 123, "username": "john.doe", "full_name": "Nguy\u1ec5n V\u0103n An", "action": "CREATE", "object_type": "Customer", "object_id": 456, "object_repr": "John Smith", "change_message": "Created new customer", "ip_address": "192.168.1.1", "user_agent": "Mozilla/5.0...", "session_key": null, "import_source": "customers.xlsx", "import_count": 3, "export_filters": {"date_from": "2024-01-01"}}`,
		[]string{"user_id=123", "object_id=456", "action=ADD", "action=CREATE", "object_type=customer", "search_term=nguyen", "search_term=customers", "from_date=2024-01-02&to_date=2024-01-02", "ip_address=192.168.1.1"},
		[]string{`"user_id":"123"`, `"import_source":"customers.xlsx"`, `"import_count":3`, `"date_from":"2024-01-01"`, `"action":"ADD"`, "Nguyễn Văn An", "2024-01-02T03:04:05.678901Z"},
	},
	{
		"550e8400-e29b-41d4-a716-446655440001",
		`{"log_id": "550e8400-e29b-41d4-a716-446655440001", "timestamp": "2024-02-02 03:04:05+0700", "user_id": "user_1", "username": "jane", "full_name": null, "action": "UPDATE", "object_type": "employee", "object_id": "cus_9", "object_repr": "Jane", "change_message": {"headers": ["field", "old_value", "new_value"], "rows": [{"field": "Phone number", "old_value": "0987654321", "new_value": "1234567890"}, {"field": "Note", "old_value": null, "new_value": 1.50}]}, "source_model": "EmployeeDependent", "source_pk": 9, "source_repr": "Tim", "batch_id": "b1", "batch_action": "IMPORT"}`,
		[]string{"action=CHANGE", "batch_id=b1", "source_pk=9", "source_model=employeedependent", "search_term=0987654321", "search_term=tim", "from_date=2024-02-01&to_date=2024-02-01"},
		[]string{`"headers":["field","old_value","new_value"]`, `"new_value":1.50`, `"old_value":null`, "2024-02-01T20:04:05Z"},
	},
	{
		"550e8400-e29b-41d4-a716-446655440002", // the summary of a batch, and no more than there must be
		`{"log_id":"550e8400-e29b-41d4-a716-446655440002","timestamp":"2024-03-02T03:04:05Z","action":"IMPORT","user_id":"7","batch_id":"b2","batch_summary":true,"total_processed":"12","error_count":2.0,"errors":["Row 3: no name",null,{"row":4}]}`,
		[]string{"batch_id=b2", "action=IMPORT", "from_date=2024-03-02&to_date=2024-03-02"},
		[]string{`"total_processed":12`, `"error_count":2`, `"Row 3: no name"`},
	},
	{
		"019aaf5e-7c00-7000-8000-00000000000f",
		`{"schema_version":9,"log_id":"019aaf5e-7c00-7000-8000-00000000000f","timestamp":"2024-04-05T04:05:06.123456789Z","action":"MERGE","object_type":"invoice","object_id":"42","severity":{"level":1.50,"names":["a","é"]},"changes":[{"field":"name","old":"a","new":{"first":[1,2]},"unit":"cm"}],"changed_fields":["name"],"zz_new":null,"Seq":"not seq"}`,
		[]string{"object_type=invoice", "action=MERGE", "changed_fields=name", "from_date=2024-04-05&to_date=2024-04-05"},
		[]string{`"schema_version":9`, `"severity":{"level":1.50,"names":["a","é"]}`, `"unit":"cm"`, `"new":{"first":[1,2]}`},
	},
}

// TestConsume_recordsOfOthers: they are indexed, found by search and read in full through the query API; what
// cannot be a record, however it tries to do harm, becomes a dead letter.
func TestConsume_recordsOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	t.Cleanup(func() {
		for _, month := range []string{"01", "02", "03", "04"} {
			request(t, http.MethodDelete, testservers.OpenSearch(t)+"/"+r.prefix+"-2024."+month, "")
		}
	})
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	var all [][]byte
	for _, f := range foreign {
		all = append(all, []byte(f.payload))
	}
	bombs := []string{strings.Repeat("[", 100_000), `{"log_id":"1","a":` + strings.Repeat(`{"b":`, 100_000) + "1" + strings.Repeat("}", 100_001), `{"log_id":"1","log_id":"2"}`, strings.Repeat("x", 900_000)}
	for _, bomb := range bombs {
		all = append(all, []byte(bomb))
	}
	r.publish(t, 0, all...)
	cmd, _ := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream)
	await.Until(t, "the records are in the index", func() bool { return len(r.found(t)) == len(foreign) })
	await.Until(t, "the rest are letters", func() bool { return r.dlq(t, "list", "--count").stdout == "4\n" })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}

	address, stop := serve(t, r.with("AUDIT_API_TOKENS", "me="+token))
	defer stop()
	for _, f := range foreign {
		for _, parameters := range f.found {
			status, body := request(t, http.MethodGet, address+"/api/audit-logs/search/?"+parameters, token)
			if status != http.StatusOK || strings.Count(body, `"log_id"`) != 1 || !strings.Contains(body, f.id) {
				t.Errorf("%s: %d %s, want %s", parameters, status, body, f.id)
			}
		}
		status, body := request(t, http.MethodGet, address+"/api/audit-logs/detail/"+url.PathEscape(f.id)+"/", token)
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(body)); status != http.StatusOK || err != nil {
			t.Errorf("detail of %s: %d %s", f.id, status, body)
		}
		for _, part := range f.detail {
			if !strings.Contains(compact.String(), part) {
				t.Errorf("detail of %s: no %s in %s", f.id, part, compact.String())
			}
		}
	}
	// What this version does not know is in the index byte for byte.
	last := foreign[3]
	status, body := request(t, http.MethodGet, testservers.OpenSearch(t)+"/"+r.prefix+"-2024.04/_source/"+last.id, "")
	if begin := strings.TrimSuffix(last.payload, "}") + `,"ingested_at":`; status != http.StatusOK || !strings.HasPrefix(body, begin) {
		t.Errorf("stored: %d %s, want the beginning %s", status, body, begin)
	}
}
