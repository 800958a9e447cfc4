package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

const token = "0123456789abcdef"

var november = time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)

// rig is a stream, dead letters and an index prefix of a test's own on the real servers.
type rig struct {
	source, dead rabbit.Config
	prefix       string
	variables    map[string]string
	store        *opensearch.Store
}

// newRig gives names that nothing has been made for.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{source: rabbittest.Config(t), dead: rabbittest.Config(t), prefix: testservers.Name(t, "t-cli-")}
	u, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	r.variables = map[string]string{
		"OPENSEARCH_HOST": u.Hostname(), "OPENSEARCH_PORT": u.Port(), "OPENSEARCH_INDEX_PREFIX": r.prefix,
		"RABBITMQ_STREAM_HOST": r.source.Host, "RABBITMQ_STREAM_PORT": strconv.Itoa(r.source.Port),
		"RABBITMQ_STREAM_USER": r.source.User, "RABBITMQ_STREAM_PASSWORD": r.source.Password, "RABBITMQ_STREAM_NAME": r.source.Stream,
	}
	if r.store, err = opensearch.New(opensearch.Config{Addresses: []string{u.String()}, IndexPrefix: r.prefix}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer r.store.Close()
		for _, path := range []string{r.prefix + "-2026.11", r.prefix + "-checkpoints", "_index_template/" + r.prefix} {
			request(t, http.MethodDelete, u.String()+"/"+path, "")
		}
	})
	return r
}

// removeStreams removes what setup has made.
func (r *rig) removeStreams(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		streams := []rabbit.Config{r.source, r.dead}
		if r.source.Partitions == 0 {
			streams = append(streams, rabbit.WatermarksOf(r.source))
		}
		for _, c := range streams {
			if err := rabbit.Delete(ctx, c); err != nil {
				t.Error(err)
			}
		}
	})
}

func (r *rig) with(name, value string) map[string]string {
	changed := make(map[string]string, len(r.variables))
	for n, v := range r.variables {
		changed[n] = v
	}
	changed[name] = value
	return changed
}

func request(t *testing.T, method, address, bearer string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// publish puts n records on the stream, and then what else there is.
func (r *rig) publish(t *testing.T, count int, more ...[]byte) {
	t.Helper()
	a, err := rabbit.NewAppender(r.source)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var messages []stream.Message
	for n := range count {
		at := november.Add(time.Duration(n) * time.Millisecond)
		id := fmt.Sprintf("id-%06d", n)
		data, err := event.Encode(event.Record{
			LogID: id, Timestamp: at, Action: event.ActionAdd, ObjectType: "customer", ObjectID: strconv.Itoa(n), Username: "john.doe",
			ChangeMessage: event.TextMessage(event.TextCreated),
		})
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, stream.Message{ID: id, Payload: data})
	}
	for _, data := range more {
		messages = append(messages, stream.Message{Payload: data})
	}
	for part := range slices.Chunk(messages, 1000) {
		if err := a.Append(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
}

// found gives the ids of all records, sorted.
func (r *rig) found(t *testing.T) (ids []string) {
	t.Helper()
	if err := r.store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := store.Query{Size: store.MaxSize, TotalLimit: -1}
	for {
		page, err := r.store.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page.Records {
			ids = append(ids, rec.LogID)
		}
		if !page.HasMore {
			slices.Sort(ids)
			return ids
		}
		last := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &last
	}
}

// child starts the program as a process of its own.
func child(t *testing.T, variables map[string]string, args ...string) (cmd *exec.Cmd, stderr *logbuffer.Buffer) {
	t.Helper()
	stderr = &logbuffer.Buffer{}
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{"--env-file="}, args...)...)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

func TestSetup_thenConsume_thenServe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.removeStreams(t)
	for i, want := range [][]string{
		{"stream " + r.source.Stream + ": made", "stream " + r.dead.Stream + ": made", "stream " + r.source.Stream + "_watermarks: made", "index template " + r.prefix + ": made"},
		{"stream " + r.source.Stream + ": is there", "stream " + r.dead.Stream + ": is there", "index template " + r.prefix + ": is there"},
	} {
		got := execute(t.Context(), r.variables, "setup", "--dead-letters", r.dead.Stream)
		if got.code != ExitOK || got.stderr != "" {
			t.Fatalf("setup %d: %+v", i+1, got)
		}
		for _, line := range want {
			if !strings.Contains(got.stdout, line) {
				t.Errorf("setup %d: no %q in\n%s", i+1, line, got.stdout)
			}
		}
	}

	r.publish(t, 300, []byte("garbage"))
	cmd, stderr := child(t, r.variables, "consume", "--consumer-name", "worker-01", "--dead-letters", r.dead.Stream)
	await.Until(t, "all records are in the index", func() bool { return len(r.found(t)) == 300 })
	await.Until(t, "the garbage is a dead letter", func() bool { return strings.Contains(stderr.String(), "dead letter") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped by SIGTERM: %v\n%s", err, stderr.String())
	}
	if log := stderr.String(); !strings.Contains(log, "stored=300") || !strings.Contains(log, "dead_lettered=1") || !strings.Contains(log, "consumer=worker-01") {
		t.Errorf("log:\n%s", log)
	}

	variables := r.with("AUDIT_API_TOKENS", "me="+token)
	address, stop := serve(t, variables)
	checkServe(t, address, 300)
	stop()
}

// serve runs the query server, and gives its address.
func serve(t *testing.T, variables map[string]string, args ...string) (address string, stop func()) {
	t.Helper()
	p, stdout, stderr := program(variables, append([]string{"--env-file=", "serve", "--listen", "127.0.0.1:0", "--record-reads=false"}, args...)...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- Main(ctx, p) }()
	stop = func() {
		cancel()
		if code := <-done; code != ExitOK {
			t.Errorf("serve: code %d\n%s", code, stderr.String())
		}
	}
	await.Until(t, "it listens", func() bool {
		if len(done) > 0 {
			t.Fatalf("serve: %s", stderr.String())
		}
		_, address, _ = strings.Cut(strings.TrimSpace(stdout.String()), "audit trail: ")
		return address != ""
	})
	return strings.TrimSuffix(address, "/audit/"), stop
}

// checkServe looks at every route of a trail of n records.
func checkServe(t *testing.T, address string, n int) {
	t.Helper()
	search := address + "/api/audit-logs/search/?username=john.doe&page_size=5"
	if status, body := request(t, http.MethodGet, search, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, body)
	}
	if status, body := request(t, http.MethodGet, search+"&nope=1", token); status != http.StatusBadRequest || !strings.Contains(body, "nope") {
		t.Errorf("wrong parameter: %d %s", status, body)
	}
	status, body := request(t, http.MethodGet, search, token)
	if status != http.StatusOK || strings.Count(body, `"log_id"`) != 5 || !strings.Contains(body, strconv.Itoa(n)) {
		t.Errorf("search: %d %s", status, body)
	}
	status, body = request(t, http.MethodGet, address+"/api/audit-logs/detail/id-000007/", token)
	var detail map[string]any
	if err := json.Unmarshal([]byte(body), &detail); status != http.StatusOK || err != nil || !strings.Contains(body, event.TextCreated) {
		t.Errorf("detail: %d %v %s", status, err, body)
	}
	if status, _ := request(t, http.MethodGet, address+"/api/audit-logs/detail/none/", token); status != http.StatusNotFound {
		t.Errorf("unknown id: %d", status)
	}
	if status, body := request(t, http.MethodGet, address+"/audit/", ""); status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("page: %d %.200s", status, body)
	}
	if status, body := request(t, http.MethodGet, address+"/healthz", ""); status != http.StatusOK {
		t.Errorf("health: %d %s", status, body)
	}
}

func TestSetup_serversNotThere_orRefusing_areNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		name            string
		variable, value string
		want            []string
	}{
		{"no broker", "RABBITMQ_STREAM_PORT", "1", []string{"connection refused", ":1"}},
		{"wrong password", "RABBITMQ_STREAM_PASSWORD", "geheim", []string{"access refused", r.source.User}},
		{"no opensearch", "OPENSEARCH_PORT", "1", []string{"connection refused", ":1"}},
		{"opensearch is something else", "OPENSEARCH_PORT", r.variables["RABBITMQ_STREAM_PORT"], []string{"opensearch", r.variables["RABBITMQ_STREAM_PORT"]}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			variables := r.with(c.variable, c.value)
			// The names of a test of its own, because the other half of setup is done.
			variables["RABBITMQ_STREAM_NAME"] = testservers.Name(t, "t_audit_")
			variables["OPENSEARCH_INDEX_PREFIX"] = r.prefix
			if strings.HasPrefix(c.variable, "OPENSEARCH") {
				config := r.source
				config.Stream = variables["RABBITMQ_STREAM_NAME"]
				own := &rig{source: config, dead: rabbittest.Config(t)}
				own.removeStreams(t)
				got := execute(t.Context(), variables, "setup", "--dead-letters", own.dead.Stream)
				check(t, got, c.want)
				if !strings.Contains(got.stdout, config.Stream+": made") {
					t.Errorf("the streams were not made: %+v", got)
				}
				return
			}
			check(t, execute(t.Context(), variables, "setup", "--dead-letters", r.dead.Stream), c.want)
		})
	}
}

func check(t *testing.T, got result, want []string) {
	t.Helper()
	if got.code != ExitFailed || strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, "geheim") {
		t.Errorf("code %d, want %d and one line:\n%s", got.code, ExitFailed, got.stderr)
	}
	for _, w := range want {
		if !strings.Contains(got.stderr, w) {
			t.Errorf("no %q in %s", w, got.stderr)
		}
	}
}

// TestConsume_waitsForEverything: each thing that is missing is said in one line, and when it is there
// the records come.
func TestConsume_waitsForEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cmd, stderr := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream, "--group", "g")
	says := func(text string) {
		t.Helper()
		await.Until(t, "it says "+text, func() bool { return strings.Contains(stderr.String(), text) })
	}
	says(r.dead.Stream + `\" on`)
	says("auditlog setup makes it")
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	r.publish(t, 10)
	await.Until(t, "the records are in the index", func() bool { return len(r.found(t)) == 10 })
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped by SIGINT: %v", err)
	}
	if n := strings.Count(stderr.String(), "no source"); n != 1 {
		t.Errorf("%d lines about the same:\n%s", n, stderr.String())
	}
}
