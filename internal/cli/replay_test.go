package cli

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream/rabbit"
)

// into gives the rig with another index prefix.
func (r *rig) into(t *testing.T) (prefix string, other *rig) {
	t.Helper()
	prefix = testservers.Name(t, "t-cli-")
	address := testservers.OpenSearch(t)
	s, err := opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer s.Close()
		for _, index := range []string{"-2026.11", "-checkpoints"} {
			request(t, http.MethodDelete, address+"/"+prefix+index, "")
		}
	})
	return prefix, &rig{store: s, prefix: prefix}
}

// TestReplay_rebuildsAnIndex: the index is lost, and made again; and another one beside it.
func TestReplay_rebuildsAnIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	if got := execute(t.Context(), r.variables, "replay"); got.code != ExitOK || !strings.Contains(got.stdout, "0 read, 0 stored") {
		t.Errorf("empty stream: %+v", got)
	}
	r.publish(t, 1500, []byte("garbage"))
	got := execute(t.Context(), r.variables, "replay")
	if got.code != ExitOK || !strings.Contains(got.stdout, "1501 read, 1500 stored, 0 were stored already, 0 conflicts, 1 poison (1 undecodable, 0 refused)") || !strings.Contains(got.stderr, "offset=1500") {
		t.Errorf("all: %+v", got)
	}
	all := r.found(t)
	if len(all) != 1500 {
		t.Fatalf("%d records", len(all))
	}
	got = execute(t.Context(), r.variables, "replay")
	if got.code != ExitOK || !strings.Contains(got.stdout, "1501 read, 0 stored, 1500 were stored already") || strings.Contains(got.stdout, "interrupted") {
		t.Errorf("again: %+v", got)
	}
	request(t, http.MethodDelete, testservers.OpenSearch(t)+"/"+r.prefix+"-2026.11", "")
	if got := execute(t.Context(), r.variables, "replay", "--from", "0", "--to", "999"); got.code != ExitOK || !strings.Contains(got.stdout, "1000 read, 1000 stored") {
		t.Errorf("a part: %+v", got)
	}
	if ids := r.found(t); !slices.Equal(ids, all[:1000]) {
		t.Errorf("%d records, want 1000", len(ids))
	}
	prefix, other := r.into(t)
	if got := execute(t.Context(), r.variables, "replay", "--from", "500", "--index-prefix", prefix); got.code != ExitOK || !strings.Contains(got.stdout, "into "+prefix+", from offset 500: 1001 read, 1000 stored") {
		t.Errorf("beside it: %+v", got)
	}
	if ids := other.found(t); !slices.Equal(ids, all[500:]) {
		t.Errorf("%d records, want 1000", len(ids))
	}
}

func TestReplay_times(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	before := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	after := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	r.publish(t, 100)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", after}, " 0 read, 0 stored"},
		{[]string{"--to", before}, "no messages between"},
		{[]string{"--from", before, "--to", after}, "100 read, 100 stored"},
		{[]string{"--to", after}, "100 read, 0 stored"},
		{[]string{"--from", "2020-01-01"}, "100 read, 0 stored"},
	} {
		if got := execute(t.Context(), r.variables, append([]string{"replay"}, c.args...)...); got.code != ExitOK || !strings.Contains(got.stdout, c.want) {
			t.Errorf("%v: no %q in %+v", c.args, c.want, got)
		}
	}
}

// TestReplay_killed: killed in the middle again and again, it goes on each time, and in the end each record
// is there once.
func TestReplay_killed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	const n = 2000
	r.publish(t, n)
	kills := 0
	for _, at := range []int{1, 800} {
		cmd, stderr := child(t, r.variables, "replay", "--batch-size", "50")
		await.Until(t, "some more are in the index, or it has ended", func() bool {
			return len(r.found(t)) >= at || strings.Contains(stderr.String(), "auditlog: ")
		})
		_ = cmd.Process.Kill()
		if killed(cmd.Wait()) {
			kills++
		}
	}
	got := execute(t.Context(), r.variables, "replay")
	if got.code != ExitOK {
		t.Fatalf("the last one: %+v", got)
	}
	if ids := r.found(t); len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("%d records, want %d", len(ids), n)
	}
	t.Logf("killed %d times; then %s", kills, got.stdout)
}

func TestReplay_superStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.Partitions = 3
	r.variables["RABBITMQ_STREAM_PARTITIONS"] = "3"
	r.removeStreams(t)
	if got := execute(t.Context(), r.variables, "setup", "--dead-letters", r.dead.Stream); got.code != ExitOK {
		t.Fatal(got)
	}
	names, err := rabbit.Partitions(t.Context(), r.source)
	if err != nil {
		t.Fatal(err)
	}
	one := &rig{source: r.source}
	one.source.Stream, one.source.Partitions = names[1], 0
	one.publish(t, 50)
	if got := execute(t.Context(), r.variables, "replay"); got.code != ExitOK || strings.Count(got.stdout, "\n") != 3 || !strings.Contains(got.stdout, names[1]+", into "+r.prefix+", from offset 0: 50 read, 50 stored") {
		t.Errorf("%+v", got)
	}
}
