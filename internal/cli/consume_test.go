package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// gateway stands between consumers and OpenSearch, and can hold bulk requests.
type gateway struct {
	held chan string // of each bulk that is held, the address it came from

	mu    sync.Mutex
	left  int  // bulks that may still pass; -1: all
	after bool // hold the answer, and not the request
	open  chan struct{}
}

// through makes the variables of a rig lead through a gateway that lets everything pass.
func (r *rig) through(t *testing.T) *gateway {
	t.Helper()
	target, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{held: make(chan string, 1000), left: -1, open: make(chan struct{})}
	transport := &http.Transport{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body) // only then the end of the connection is seen
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		pass, after, open := g.take(strings.HasPrefix(req.URL.Path, "/_bulk"))
		if pass {
			proxy.ServeHTTP(w, req)
			return
		}
		answer := httptest.NewRecorder()
		if after {
			proxy.ServeHTTP(answer, req)
		}
		g.held <- req.RemoteAddr
		select {
		case <-open:
		case <-req.Context().Done():
			panic(http.ErrAbortHandler)
		}
		if !after {
			proxy.ServeHTTP(w, req)
			return
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(func() {
		g.pass(-1, false)
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.variables["OPENSEARCH_HOST"], r.variables["OPENSEARCH_PORT"] = u.Hostname(), u.Port()
	return g
}

func (g *gateway) take(bulk bool) (pass, after bool, open chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !bulk || g.left < 0 {
		return true, false, nil
	}
	if g.left > 0 {
		g.left--
		return true, false, nil
	}
	return false, g.after, g.open
}

// pass lets go what is held, and then so many bulks pass; -1 is all. Of the next ones the requests are held,
// or the answers.
func (g *gateway) pass(n int, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
	g.open, g.left, g.after = make(chan struct{}), n, after
	for len(g.held) > 0 {
		<-g.held
	}
}

// waitHeld waits until a bulk is held.
func (g *gateway) waitHeld(t *testing.T) {
	t.Helper()
	select {
	case <-g.held:
	case <-time.After(2 * time.Minute):
		t.Fatal("no bulk came in 2 minutes")
	}
}

// kill ends the process as kill -9 does.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
}

// terminate ends the process as an operator does.
func terminate(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped by SIGTERM: %v\n%v", err, cmd.Stderr)
	}
}

// offsets gives where the first n messages of a stream are: those of records, and others.
func offsets(t *testing.T, config rabbit.Config, n int) (records, others []int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := rabbit.NewSource(ctx, config, "check", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for len(records)+len(others) < n {
		messages, err := s.Read(ctx, n-len(records)-len(others))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if strings.HasPrefix(m.ID, "id-") {
				records = append(records, m.Offset)
			} else {
				others = append(others, m.Offset)
			}
		}
	}
	return records, others
}

// count gives how many records are in the index, up to an offset.
func (r *rig) count(t *testing.T, upTo int64) int {
	t.Helper()
	if err := r.store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := url.Values{"q": {fmt.Sprintf("stream_offset:[0 TO %d]", upTo)}, "ignore_unavailable": {"true"}}
	var v struct {
		Count *int `json:"count"`
	}
	await.Until(t, "an answer to a count", func() bool { // an index that was made a moment ago gives a 503
		_, body := request(t, http.MethodGet, testservers.OpenSearch(t)+"/"+r.prefix+"-2026.11/_count?"+q.Encode(), "")
		return json.Unmarshal([]byte(body), &v) == nil && v.Count != nil
	})
	return *v.Count
}

// neverAhead looks from outside whether an offset that was committed, or is in the checkpoint, has passed
// something that is not in the index.
func (r *rig) neverAhead(t *testing.T, records []int64) {
	t.Helper()
	for name, offset := range r.known(t) {
		want := 0
		for _, at := range records {
			if at <= offset {
				want++
			}
		}
		if got := r.count(t, offset); got != want {
			t.Errorf("%s: offset %d, up to which %d records are in the index, want %d", name, offset, got, want)
		}
	}
}

// known gives the offsets that the broker and the store know.
func (r *rig) known(t *testing.T) map[string]int64 {
	t.Helper()
	s, err := rabbit.NewSource(t.Context(), r.source, consumer.DefaultGroup, stream.SourceOptions{
		StartAt: func(context.Context) (int64, bool, error) { return 1 << 40, true, nil }, // reads nothing
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	known := make(map[string]int64)
	offset, ok, err := s.Committed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		known["committed"] = offset
	}
	await.Until(t, "an answer about the checkpoint", func() bool { // an index that was made a moment ago gives a 503
		saved, ok, err := r.store.Load(t.Context(), r.source.Stream, consumer.DefaultGroup)
		if ok {
			known["checkpoint"] = saved.Offset
		}
		return err == nil
	})
	return known
}

// TestConsume_killed: killed in the middle of bulks, which OpenSearch had done or not, again and again;
// no offset is ever ahead, and in the end each record is there once.
func TestConsume_killed(t *testing.T) {
	t.Parallel()
	n, kills, size := 5_000, 5, 100
	if testservers.Long() {
		n, kills, size = 200_000, 100, 250
	}
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	r.publish(t, n, []byte("garbage"))
	records, _ := offsets(t, r.source, n+1)
	g := r.through(t)
	consume := func() *exec.Cmd {
		cmd, _ := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream, "--batch-size", fmt.Sprint(size), "--watermarks=false")
		return cmd
	}
	each := n / size / (kills + 1)
	for round := range kills {
		g.pass(each-round%3, round%2 == 0)
		cmd := consume()
		g.waitHeld(t)
		kill(t, cmd)
		r.neverAhead(t, records)
	}
	before := r.count(t, 1<<40)
	if before >= n {
		t.Error("all was there before the last one began")
	}
	g.pass(-1, false)
	cmd := consume()
	await.Until(t, "all are in the index", func() bool { return r.count(t, 1<<40) >= n })
	terminate(t, cmd)
	r.neverAhead(t, records)
	ids := r.found(t)
	for i, id := range ids {
		if id != fmt.Sprintf("id-%06d", i) {
			t.Fatalf("record %d of %d is %s", i, len(ids), id)
		}
	}
	if len(ids) != n {
		t.Errorf("found %d records, want %d", len(ids), n)
	}
	for name, offset := range r.known(t) {
		if offset < records[n-1] {
			t.Errorf("%s is %d in the end, want %d", name, offset, records[n-1])
		}
	}
	t.Logf("%d records, killed %d times, %d were there before the last one began", n, kills, before)
}

// TestConsume_terminated_finishesTheBulk: what is being written when SIGTERM comes is written and committed.
func TestConsume_terminated_finishesTheBulk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	r.publish(t, 100)
	records, _ := offsets(t, r.source, 100)
	g := r.through(t)
	g.pass(0, true)
	cmd, stderr := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream, "--batch-size", "50", "--max-in-flight", "1", "--watermarks=false")
	g.waitHeld(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// A second signal does no harm.
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	g.pass(-1, false)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if log := stderr.String(); !strings.Contains(log, "consumer has stopped") {
		t.Errorf("log:\n%s", log)
	}
	known := r.known(t)
	if at := known["committed"]; at < records[0] {
		t.Errorf("what was written is not committed: %v", known)
	}
	r.neverAhead(t, records)
	cmd, _ = child(t, r.variables, "consume", "--dead-letters", r.dead.Stream, "--watermarks=false")
	await.Until(t, "all are in the index", func() bool { return r.count(t, 1<<40) == 100 })
	terminate(t, cmd)
	if ids := r.found(t); len(ids) != 100 {
		t.Errorf("found %d", len(ids))
	}
}

// TestConsume_probes: what the addresses say, without OpenSearch, with it, and behind.
func TestConsume_probes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	for range 3 { // three chunks: the end of a stream is known by chunks only
		r.publish(t, 5)
	}
	g := r.through(t)
	g.pass(0, false)
	start := func(variables map[string]string, args ...string) (address string, stop func()) {
		p, _, stderr := program(variables, append([]string{"--env-file=", "consume", "--dead-letters", r.dead.Stream, "--listen", "127.0.0.1:0"}, args...)...)
		addresses := make(chan string, 1)
		p.Stderr = io.MultiWriter(stderr, lineWriter(func(line string) {
			if _, a, ok := strings.Cut(line, " listen="); ok {
				addresses <- strings.TrimSpace(a)
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() { done <- Main(ctx, p) }()
		return "http://" + <-addresses, func() {
			cancel()
			if code := <-done; code != ExitOK {
				t.Errorf("code %d\n%s", code, stderr.String())
			}
		}
	}
	says := func(address, path string, status int, text string) func() bool {
		return func() bool {
			got, body := request(t, http.MethodGet, address+path, "")
			return got == status && strings.Contains(body, text)
		}
	}
	address, stop := start(r.with("OPENSEARCH_PORT", "1"))
	await.Until(t, "it is not ready, and says why", says(address, "/readyz", http.StatusServiceUnavailable, "connection refused"))
	await.Until(t, "it lives", says(address, "/healthz", http.StatusOK, "ok"))
	await.Until(t, "nothing is committed", says(address, "/stats", http.StatusOK, `"Committed":-1`))
	stop()

	address, stop = start(r.variables, "--ready-max-lag", "3")
	g.waitHeld(t)
	await.Until(t, "it is behind", says(address, "/readyz", http.StatusServiceUnavailable, "messages behind, the limit is 3"))
	g.pass(-1, false)
	await.Until(t, "it is ready", says(address, "/readyz", http.StatusOK, "ok"))
	await.Until(t, "its numbers", says(address, "/stats", http.StatusOK, `"Stream":"`+r.source.Stream+`"`))
	stop()
	if n := len(r.found(t)); n != 5 {
		t.Errorf("found %d", n)
	}
}

// lineWriter calls f with each line.
type lineWriter func(line string)

func (f lineWriter) Write(p []byte) (int, error) {
	for s := bufio.NewScanner(bytes.NewReader(p)); s.Scan(); {
		f(s.Text())
	}
	return len(p), nil
}
