package opensearch

import (
	"fmt"
	"testing"

	"github.com/gormtrail/audit/store"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	// Texts as the servers 2.19.1 and 3.5.0 write them.
	for _, c := range []struct {
		status       int
		kind, reason string
		want         class
	}{
		{200, "", "", classOK},
		{201, "", "", classOK},
		{409, "version_conflict_engine_exception", "[x]: version conflict, document already exists (current version [1])", classDuplicate},
		{409, "something_else", "", classUnknown},

		{429, "rejected_execution_exception", "rejected execution of coordinating operation", classTransient},
		{429, "opensearch_rejected_execution_exception", "", classTransient},
		{429, "circuit_breaking_exception", "[parent] Data too large", classTransient},
		{429, "", "", classTransient},
		{503, "unavailable_shards_exception", "[x][0] primary shard is not active Timeout: [1m]", classTransient},
		{503, "no_shard_available_action_exception", "", classTransient},
		{503, "process_cluster_event_timeout_exception", "failed to process cluster event (put-mapping) within 30s", classTransient},
		{500, "node_disconnected_exception", "", classTransient},
		{500, "timeout_exception", "", classTransient},
		{500, "null_pointer_exception", "", classTransient},
		{502, "", "", classTransient},
		{504, "", "", classTransient},
		{408, "", "", classTransient},

		{429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];", classEnvironment},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)];", classEnvironment},
		{403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/5/index read-only (api)];", classEnvironment},
		{503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no cluster manager];", classEnvironment},
		{400, "index_closed_exception", "closed", classEnvironment},
		{400, "validation_exception", "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [1]/[1] maximum shards open;", classEnvironment},
		{400, "validation_exception", "Validation Failed: 1: this action would add [2] total LOCAL_ONLY shards, but this cluster currently has [1]/[1] maximum LOCAL_ONLY shards open;", classEnvironment},
		{404, "index_not_found_exception", "no such index [x]", classEnvironment},
		{401, "security_exception", "", classEnvironment},
		{403, "security_exception", "no permissions for [indices:data/write/bulk[s]]", classEnvironment},
		{503, "cluster_manager_not_discovered_exception", "", classEnvironment},
		{401, "", "", classEnvironment},
		{403, "", "", classEnvironment},

		{400, "mapper_parsing_exception", "failed to parse field [batch_summary] of type [boolean]", classPoison},
		{400, "strict_dynamic_mapping_exception", "", classPoison},
		{400, "illegal_argument_exception", "Limit of total fields [200] has been exceeded", classPoison},
		{400, "invalid_index_name_exception", "", classPoison},
		{400, "validation_exception", "something of the document", classPoison},

		{404, "document_missing_exception", "", classUnknown},
		{405, "", "", classUnknown},
		{418, "teapot", "", classUnknown},
		{301, "", "", classTransient},
		{0, "", "", classTransient},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.kind), func(t *testing.T) {
			t.Parallel()
			if got := classify(c.status, c.kind, c.reason); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestClassifyWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status       int
		kind, reason string
		want         class
	}{
		{413, "", "", classTooBig},
		{400, "action_request_validation_exception", "Validation Failed: 1: id is too long", classPoison},
		{400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]", classPoison},
		{400, "index_closed_exception", "closed", classEnvironment},
		{400, "", "<html>", classEnvironment},
		{401, "", "Unauthorized", classEnvironment},
		{403, "security_exception", "", classEnvironment},
		{403, "cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];", classEnvironment},
		{404, "", "<html>", classEnvironment},
		{301, "", "", classEnvironment},
		{407, "", "", classEnvironment},
		{429, "", "", classTransient},
		{429, "rejected_execution_exception", "", classTransient},
		{429, "circuit_breaking_exception", "", classTransient},
		{500, "", "", classTransient},
		{502, "", "", classTransient},
		{503, "", "", classTransient},
		{503, "cluster_manager_not_discovered_exception", "", classEnvironment},
		{504, "", "", classTransient},
		{408, "", "", classTransient},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.kind), func(t *testing.T) {
			t.Parallel()
			if got := classifyWhole(c.status, c.kind, c.reason); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestStatusOf_neverPoison(t *testing.T) {
	t.Parallel()
	for status := range 600 {
		for _, kind := range []string{"", "mapper_parsing_exception", "security_exception"} {
			switch got := statusOf(&answerError{status: status, kind: kind}); got {
			case store.Transient, store.Environment:
			default:
				t.Errorf("status %d %s: %s", status, kind, got)
			}
		}
	}
}
