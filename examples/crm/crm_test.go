package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream/rabbit"
)

// binary is the built command.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "crm")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the temporary folder; best effort
	binary = filepath.Join(dir, "crm")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// crm is the command, running as a process of its own.
type crm struct {
	t     *testing.T
	base  string
	curls []string // the lines that it printed
	cmd   *exec.Cmd
	out   *bytes.Buffer // what it printed to stderr
	ended chan struct{} // closed when nothing more comes on stdout
}

// start runs the command until it has printed its welcome.
func start(t *testing.T, env []string, args ...string) *crm {
	t.Helper()
	p := &crm{t: t, out: new(bytes.Buffer), ended: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.out
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the command's stderr:\n%s", p.out)
		}
	})
	ready := make(chan bool, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if rest, ok := strings.CutPrefix(line, "application "); ok {
				p.base = strings.TrimSuffix(strings.TrimSpace(rest), "/")
			}
			if strings.HasPrefix(line, "curl ") {
				if p.curls = append(p.curls, line); len(p.curls) == 3 {
					ready <- true
				}
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if !ok {
			_ = p.cmd.Wait()
			t.Fatalf("the command ended before its welcome: %s", p.out)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("no welcome for two minutes")
	}
	return p
}

// stop interrupts the command and wants it to end well.
func (p *crm) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatal("it does not stop")
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("it stopped with %v", err)
	}
}

// do makes one request and gives its status and body.
func (p *crm) do(client *http.Client, token, method, path, body string) (int, []byte) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.9") // forged
	response, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, data
}

// seeded is how many records the first data gives.
const seeded = 20

const alice, bob = "crm-demo-token-alice", "crm-demo-token-bob"

// must is do for requests that succeed.
func (p *crm) must(method, path, body string) []byte {
	p.t.Helper()
	status, data := p.do(http.DefaultClient, alice, method, path, body)
	if status >= 300 {
		p.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	return data
}

type answerPage struct {
	Results []map[string]any
	Total   int
}

// search gives the records that match, newest first, as the user with the token sees them.
func (p *crm) search(token string, filters ...string) answerPage {
	p.t.Helper()
	values := url.Values{"page_size": {"200"}}
	for i := 0; i < len(filters); i += 2 {
		values.Add(filters[i], filters[i+1])
	}
	status, data := p.do(http.DefaultClient, token, "GET", "/api/audit-logs/search/?"+values.Encode(), "")
	if status != http.StatusOK {
		p.t.Fatalf("search %v: %d %s", filters, status, data)
	}
	var page answerPage
	if err := json.Unmarshal(data, &page); err != nil {
		p.t.Fatal(err)
	}
	return page
}

func (p *crm) detail(result map[string]any) map[string]any {
	p.t.Helper()
	var r map[string]any
	if err := json.Unmarshal(p.must("GET", "/api/audit-logs/detail/"+result["log_id"].(string)+"/", ""), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// eventually waits until ask gives the number of records: at once in the embedded mode, after some
// time through a pipeline.
func (p *crm) eventually(want int, filters ...string) answerPage {
	p.t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		page := p.search(alice, filters...)
		if len(page.Results) == want {
			return page
		}
		select {
		case <-deadline:
			p.t.Fatalf("%d records for %v, want %d", len(page.Results), filters, want)
		case <-tick.C:
		}
	}
}

func curl(t *testing.T, line string) []byte {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is needed: what the example prints for people is run as it is printed")
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return out
}

func TestCRM_embedded(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "crm data?")
	p := start(t, nil, "-data", data)
	exercise(t, p)
	total := p.search(alice).Total
	p.stop()

	p = start(t, nil, "-data", data)
	if again := p.search(alice).Total; again != total {
		t.Errorf("after a restart there are %d records, before %d", again, total)
	}
}

// pipelineEnv are the specification's variables for the test servers, with names of this test's own.
func pipelineEnv(t *testing.T) []string {
	t.Helper()
	source, err := rabbit.ConfigFromURI(testservers.RabbitMQ(t))
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToLower(testservers.Name(t, "crm"))
	source.Stream = name
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, stream := range []string{name, deadLetters(name), rabbit.WatermarksOf(source).Stream} {
			c := source
			c.Stream = stream
			if err := rabbit.Delete(ctx, c); err != nil {
				t.Errorf("stream %s: %v", stream, err)
			}
		}
		var indices map[string]any // all have the prefix as an alias
		if err := json.Unmarshal(ask(t, http.MethodGet, target.JoinPath(name, "_alias").String()), &indices); err != nil {
			t.Error(err)
		}
		for index := range indices {
			ask(t, http.MethodDelete, target.JoinPath(index).String())
		}
		ask(t, http.MethodDelete, target.JoinPath(name+"-checkpoints").String())
		ask(t, http.MethodDelete, target.JoinPath("_index_template", name).String())
	})
	return []string{
		"RABBITMQ_STREAM_HOST=" + source.Host, fmt.Sprintf("RABBITMQ_STREAM_PORT=%d", source.Port), "RABBITMQ_STREAM_USER=" + source.User,
		"RABBITMQ_STREAM_PASSWORD=" + source.Password, "RABBITMQ_STREAM_VHOST=" + source.VHost, "RABBITMQ_STREAM_NAME=" + name,
		"OPENSEARCH_HOST=" + target.Hostname(), "OPENSEARCH_PORT=" + target.Port(), "OPENSEARCH_INDEX_PREFIX=" + name,
	}
}

// ask makes a request to OpenSearch, also when the test has ended.
func ask(t *testing.T, method, address string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %s %s %v", method, address, response.Status, body, err)
	}
	return body
}

func TestCRM_pipeline(t *testing.T) {
	t.Parallel()
	env := pipelineEnv(t)
	data := t.TempDir()
	p := start(t, env, "-pipeline", "-data", data)
	exercise(t, p)
	total := p.search(alice).Total
	p.stop()

	// What the last run has left behind comes once, and what comes now as well.
	p = start(t, env, "-pipeline", "-data", data)
	p.must("POST", "/api/customers", `{"name":"After the restart","email":"after@example.com"}`)
	p.eventually(1, "search_term", "restart")
	if again := p.search(alice).Total; again != total+1 {
		t.Errorf("after a restart and a change there are %d records, before %d", again, total)
	}
	p.stop()
}

// TestCRM_pipeline_killed: what was answered with success is found after a kill -9, each once.
func TestCRM_pipeline_killed(t *testing.T) {
	t.Parallel()
	env := pipelineEnv(t)
	data := t.TempDir()
	p := start(t, env, "-pipeline", "-data", data)
	const customers = 50
	for i := range customers {
		p.must("POST", "/api/customers", fmt.Sprintf(`{"name":"Killed %d","email":"k%d@example.com"}`, i, i))
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	_ = p.cmd.Wait() // it was killed

	p = start(t, env, "-pipeline", "-data", data)
	p.eventually(customers, "search_term", "killed", "action", "ADD")
	p.eventually(seeded + customers)
	p.stop()
}

// TestCRM_pipeline_badEnvironment: every wrong value is named, and nothing is served.
func TestCRM_pipeline_badEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  []string
		want []string
	}{
		{
			"wrong values",
			[]string{"RABBITMQ_STREAM_PORT=many", "OPENSEARCH_PORT=0x", "OPENSEARCH_USE_SSL=perhaps"},
			[]string{"RABBITMQ_STREAM_PORT", `"many"`, "OPENSEARCH_PORT", `"0x"`, "OPENSEARCH_USE_SSL", `"perhaps"`},
		},
		{
			"no servers",
			[]string{"RABBITMQ_STREAM_HOST=127.0.0.1", "RABBITMQ_STREAM_PORT=1", "OPENSEARCH_HOST=127.0.0.1", "OPENSEARCH_PORT=2"},
			[]string{"127.0.0.1:1", "127.0.0.1:2", "-pipeline needs RabbitMQ and OpenSearch"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, binary, "-pipeline", "-addr", "127.0.0.1:0", "-data", t.TempDir())
			cmd.Env = append(os.Environ(), c.env...)
			out, err := cmd.CombinedOutput()
			for _, want := range c.want {
				if err == nil || !strings.Contains(string(out), want) {
					t.Errorf("%v: %s, want %s", err, out, want)
				}
			}
		})
	}
}

// exercise is what the example must show, in each mode.
func exercise(t *testing.T, p *crm) {
	t.Helper()
	// The first data: made through the API, so all of it is in the trail.
	p.eventually(seeded)
	checkSeed(t, p)

	t.Run("curl lines work as printed", func(t *testing.T) {
		var page answerPage
		if err := json.Unmarshal(curl(t, p.curls[0]), &page); err != nil || len(page.Results) != 3 {
			t.Errorf("first line: %d records, %v", len(page.Results), err)
		}
		if out := curl(t, p.curls[1]); !strings.Contains(string(out), `"phone":"555-0199"`) {
			t.Errorf("second line: %s", out)
		}
		p.eventually(2, "object_type", "customer", "object_id", "1", "action", "CHANGE")
		page = answerPage{}
		if err := json.Unmarshal(curl(t, p.curls[2]), &page); err != nil || len(page.Results) != 2 {
			t.Fatalf("third line: %d records, %v", len(page.Results), err)
		}
		r := p.detail(page.Results[0])
		for name, want := range map[string]any{
			"user_id": "1", "username": "alice", "full_name": "Alice Nguyen", "actor_type": "user", "object_repr": "John Smith",
			"ip_address": "127.0.0.1", "http_method": "PUT", "http_route": "/api/customers/:id", "source": "api", "service": "crm", "table": "customers",
		} {
			if r[name] != want {
				t.Errorf("%s is %v, want %v", name, r[name], want)
			}
		}
		if agent, _ := r["user_agent"].(string); !strings.HasPrefix(agent, "curl/") {
			t.Errorf("user_agent is %q", agent)
		}
		message, _ := json.Marshal(r["change_message"])
		if want := `{"headers":["field","old_value","new_value"],"rows":[{"field":"Phone number","new_value":"555-0199","old_value":"1234567890"}]}`; string(message) != want {
			t.Errorf("change_message is %s, want %s", message, want)
		}
	})

	t.Run("nothing is left of what is rolled back", func(t *testing.T) {
		before := p.search(alice).Total
		for range 3 {
			if status, body := p.do(http.DefaultClient, bob, "POST", "/api/checkout", `{"customer_id":1,"item":"Neverbought","total_cents":1,"card":"declined"}`); status != http.StatusPaymentRequired {
				t.Fatalf("%d %s", status, body)
			}
		}
		// What comes later is there, so nothing of it is still under way.
		p.must("POST", "/api/checkout", `{"customer_id":3,"item":"Grinder","total_cents":12900,"card":"good"}`)
		p.eventually(before + 2) // the order, and the customer's note
		if page := p.search(alice, "search_term", "Neverbought"); len(page.Results) != 0 {
			t.Errorf("found %v", page.Results)
		}
		if orders := p.must("GET", "/api/orders", ""); bytes.Contains(orders, []byte("Neverbought")) {
			t.Errorf("the order was saved: %s", orders)
		}
	})

	t.Run("the login sets the actor", func(t *testing.T) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar}
		if status, body := p.do(browser, "", "POST", "/login", `{"username":"bob","password":"wrong"}`); status != http.StatusUnauthorized {
			t.Errorf("wrong password: %d %s", status, body)
		}
		if status, body := p.do(browser, "", "POST", "/login", `{"username":"bob","password":"bob"}`); status != http.StatusOK {
			t.Fatalf("login: %d %s", status, body)
		}
		for _, phone := range []string{"1", "2"} {
			if status, body := p.do(browser, "", "PUT", "/api/customers/2", `{"phone":"`+phone+`"}`); status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
		}
		page := p.eventually(2, "object_type", "customer", "object_id", "2", "action", "CHANGE", "username", "bob")
		first, second := p.detail(page.Results[0]), p.detail(page.Results[1])
		session, _ := first["session_key"].(string)
		if len(session) != 64 || second["session_key"] != session || first["ip_address"] != "127.0.0.1" || first["request_id"] == second["request_id"] {
			t.Errorf("session_key %q, ip_address %v, request ids %v %v", session, first["ip_address"], first["request_id"], second["request_id"])
		}
		logins := p.eventually(2, "action", "LOGIN")
		if r := p.detail(logins.Results[1]); r["outcome"] != "failure" || r["user_id"] != nil && r["user_id"] != "" {
			t.Errorf("the failed login: %v", r)
		}
		if r := p.detail(logins.Results[0]); r["user_id"] != "2" {
			t.Errorf("the login: %v", r)
		}
	})

	t.Run("who may see it", func(t *testing.T) {
		for _, token := range []string{"", "crm-demo-token-eve"} {
			if status, body := p.do(http.DefaultClient, token, "GET", "/api/audit-logs/search/", ""); status != http.StatusUnauthorized {
				t.Errorf("token %q: %d %s", token, status, body)
			}
			if status, _ := p.do(http.DefaultClient, token, "GET", "/api/customers", ""); status != http.StatusUnauthorized {
				t.Errorf("token %q: customers: %d", token, status)
			}
		}
		for _, r := range p.search(bob).Results {
			if r["username"] != "bob" {
				t.Errorf("bob sees %v", r)
			}
		}
	})

	t.Run("pages", func(t *testing.T) {
		for path, want := range map[string]string{"/": "<h1>CRM</h1>", "/app.js": "use strict", "/style.css": "color-scheme", "/audit/": "<html"} {
			if status, body := p.do(http.DefaultClient, "", "GET", path, ""); status != http.StatusOK || !bytes.Contains(body, []byte(want)) {
				t.Errorf("%s: %d %.200s", path, status, body)
			}
		}
	})

	t.Run("bad requests leave nothing", func(t *testing.T) {
		before := p.search(alice).Total
		for _, c := range []struct {
			method, path, body string
			want               int
		}{
			{"POST", "/api/customers", `{"name":""}`, 400},
			{"POST", "/api/customers", `{`, 400},
			{"POST", "/api/customers", `{"name":"Twice","email":"john@example.com"}`, 409},
			{"POST", "/api/orders", `{"customer_id":999,"item":"x"}`, 409},
			{"PUT", "/api/customers/999", `{}`, 404},
			{"PUT", "/api/customers/x", `{}`, 404},
			{"PUT", "/api/customers/1", `{"name":""}`, 400},
			{"PUT", "/api/customers/1", `{}`, 200}, // no change, no record
			{"DELETE", "/api/customers/999", ``, 404},
			{"POST", "/api/employees/999/dependents", `{"name":"x"}`, 404},
			{"POST", "/api/checkout", `{}`, 400},
			{"POST", "/api/customers/import", `{}`, 400},
			{"POST", "/api/customers", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 400},
		} {
			if status, body := p.do(http.DefaultClient, alice, c.method, c.path, c.body); status != c.want {
				t.Errorf("%s %s: %d %.200s, want %d", c.method, c.path, status, body, c.want)
			}
		}
		p.must("PUT", "/api/employees/1", `{"department":"Board"}`)
		p.eventually(before + 1)
	})
}

func checkSeed(t *testing.T, p *crm) {
	t.Helper()
	actions := func(page answerPage) (list []string) {
		for _, r := range page.Results {
			list = append(list, r["action"].(string))
		}
		slices.Sort(list)
		return list
	}
	for _, c := range []struct {
		name    string
		filters []string
		want    []string
	}{
		{"one customer", []string{"object_type", "customer", "object_id", "1"}, []string{"ADD", "CHANGE"}},
		{"the import", []string{"batch_action", "IMPORT"}, []string{"ADD", "ADD", "IMPORT"}},
		{"the soft delete", []string{"object_type", "customer", "action", "DELETE"}, []string{"DELETE"}},
		{"the dependents are in the history of the employee", []string{"object_type", "employee", "object_id", "1"}, []string{"ADD", "ADD", "ADD", "CHANGE"}},
		{"those who went with the employee have no record of their own", []string{"object_type", "employee", "object_id", "2"}, []string{"ADD", "ADD", "DELETE"}},
		{"the dependents", []string{"source_model", "dependent"}, []string{"ADD", "ADD", "ADD"}},
		{"the export", []string{"action", "EXPORT"}, []string{"EXPORT"}},
	} {
		if got := actions(p.search(alice, c.filters...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, result := range p.search(alice).Results {
		data, err := json.Marshal(p.detail(result))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"540000", "560000", "410000"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("a salary is in the trail: %s", data)
			}
		}
	}
	summary := p.detail(p.search(alice, "action", "IMPORT").Results[0])
	if summary["total_processed"] != 2.0 || summary["error_count"] != 2.0 || summary["import_source"] != "customers.xlsx" || summary["batch_summary"] != true {
		t.Errorf("the summary of the import: %v", summary)
	}
}

func TestCRM_saysWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "-data", t.TempDir())
	t.Cleanup(p.stop)
	addr := strings.TrimPrefix(p.base, "http://")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"taken address", []string{"-addr", addr, "-data", t.TempDir()}, "address already in use; choose another address with -addr"},
		{"bad address", []string{"-addr", "nowhere", "-data", t.TempDir()}, "nowhere"},
		{"unknown flag", []string{"-colour"}, "-colour"},
		{"argument", []string{"serve"}, `unknown argument "serve"`},
		{"no folder", []string{"-addr", "127.0.0.1:0", "-data", "/dev/null/x"}, "/dev/null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, binary, c.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "goroutine ") {
				t.Errorf("%v: %s, want %q", err, out, c.want)
			}
		})
	}
}
