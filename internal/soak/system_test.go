//go:build soak

package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/deadletter"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// app is an application.
type app struct {
	*process

	book     string
	lossless bool // its spool is large enough for every outage
	producer string
}

// system is the chain.
type system struct {
	t         testing.TB
	servers   *testservers.Server
	source    rabbit.Config
	dead      rabbit.Config
	store     *opensearch.Store
	address   string
	prefix    string
	apps      []*app
	consumers []*process

	published           int // messages that are no record
	scrapes, skipped    int
	trouble             error // why the last count was none
	memory, descriptors map[string]int
	client              *http.Client
}

func start(t testing.TB) *system {
	t.Helper()
	s := &system{t: t, servers: testservers.Own(t, "rabbitmq", "opensearch"), prefix: "audit-logs", memory: make(map[string]int), descriptors: make(map[string]int)}
	s.client = &http.Client{Timeout: 10 * time.Second}
	var err error
	if s.source, err = rabbit.ConfigFromURI(s.servers.Env("RABBITMQ_STREAM_URI")); err != nil {
		t.Fatal(err)
	}
	s.source.Stream, s.source.ConnectTimeout = rabbit.DefaultStream, 5*time.Second
	s.dead = s.source
	s.dead.Stream = consumer.DefaultDeadLetters
	s.address = s.servers.Env("OPENSEARCH_URL")
	if s.store, err = opensearch.New(opensearch.Config{Addresses: []string{s.address}, IndexPrefix: s.prefix, Timeout: 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })

	// The files are kept if something fails.
	folder, err := os.MkdirTemp("", "audit-soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range append(s.processes(), s.consumers...) {
			_ = p.cmd.Process.Kill() // one that has ended is no trouble
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the logs are in %s", folder)
			return
		}
		_ = os.RemoveAll(folder)
	})
	auditlog, crashapp := build(t, folder, "cmd/auditlog"), build(t, folder, "internal/crashapp")
	env := []string{
		"RABBITMQ_STREAM_URI=" + s.servers.Env("RABBITMQ_STREAM_URI"), "CRASHAPP_STREAM=" + s.source.Stream,
		"RABBITMQ_STREAM_HOST=" + s.source.Host, fmt.Sprintf("RABBITMQ_STREAM_PORT=%d", s.source.Port),
		"RABBITMQ_STREAM_USER=" + s.source.User, "RABBITMQ_STREAM_PASSWORD=" + s.source.Password, "RABBITMQ_STREAM_VHOST=" + s.source.VHost,
		"OPENSEARCH_HOST=" + s.servers.Env("OPENSEARCH_HOST"), "OPENSEARCH_PORT=" + s.servers.Env("OPENSEARCH_PORT"),
		"OPENSEARCH_USE_SSL=false", "OPENSEARCH_INDEX_PREFIX=" + s.prefix,
	}
	setup := &process{t: t, name: "setup", program: auditlog, args: []string{"--env-file=", "setup"}, env: env, out: filepath.Join(folder, "setup.log")}
	setup.run()
	if err := setup.cmd.Wait(); err != nil {
		t.Fatalf("setup: %v\n%s", err, setup.tail())
	}
	// RabbitMQ writes down that there is a new stream some seconds later, unless it is told to.
	s.servers.Run("rabbitmq", "rabbitmqctl", "-q", "eval", "mnesia:sync_log().")
	for _, name := range []string{"consumer-1", "consumer-2"} {
		p := &process{t: t, name: name, program: auditlog, args: []string{"--env-file=", "consume", "--consumer-name", name}, env: env, out: filepath.Join(folder, name+".log")}
		p.run()
		s.consumers = append(s.consumers, p)
	}
	for i, name := range []string{"app-1", "app-2"} {
		home := filepath.Join(folder, name)
		if err := os.Mkdir(home, 0o700); err != nil {
			t.Fatal(err)
		}
		a := &app{book: filepath.Join(home, "book"), lossless: i == 0}
		own := []string{"CRASHAPP_BOOK=" + a.book, "CRASHAPP_RATE=" + []string{"100", "50"}[i], "CRASHAPP_SPOOL_BYTES=" + []string{"268435456", "400000"}[i]}
		a.process = &process{t: t, name: name, program: crashapp, args: []string{home, "1000000000"}, env: append(own, env...), out: filepath.Join(folder, name+".log")}
		a.run()
		s.apps = append(s.apps, a)
	}
	return s
}

// processes gives those of the applications.
func (s *system) processes() (all []*process) {
	for _, a := range s.apps {
		all = append(all, a.process)
	}
	return all
}

// garbage publishes a message that is no record, if the broker takes it.
func (s *system) garbage() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	a, err := rabbit.NewAppender(s.source)
	if err != nil {
		s.t.Fatal(err)
	}
	defer a.Close()
	text := fmt.Sprintf("garbage %d \xff", s.published)
	if err := a.Append(ctx, stream.Message{ID: text, Payload: []byte(text)}); err == nil {
		s.published++
	}
}

// scrape takes the accounts of both applications, and checks them. While OpenSearch or the application is
// down there is none.
func (s *system) scrape() {
	s.t.Helper()
	for _, p := range append(s.processes(), s.consumers...) {
		s.measure(p)
	}
	for _, a := range s.apps {
		account, ok := s.tryAccount(a, 2*time.Second)
		if !ok {
			s.skipped++
			continue
		}
		if err := account.Check(); err != nil {
			s.t.Error(err)
		}
		if account.Emitted != account.Indexed+account.Pending+account.DeadLettered+account.Lost || account.Pending != account.InQueue+account.OnStream {
			s.t.Errorf("%s: not balanced: %+v", a.name, account)
		}
		s.scrapes++
	}
}

// account takes an account when everything is up.
func (s *system) account(a *app) accounting.Account {
	s.t.Helper()
	var account accounting.Account
	if !await.Reached(s.t.Context(), func() (ok bool) { account, ok = s.tryAccount(a, 0); return ok }) {
		s.t.Fatalf("%s: no account: %v", a.name, s.trouble)
	}
	return account
}

// line is what an application says of its spool.
type line struct {
	At    time.Time
	Queue accounting.Queue
}

// tryAccount counts what has arrived, and then asks the application: it waits for a newer line of it, or with
// 0 takes the last one, that of its end.
func (s *system) tryAccount(a *app, patience time.Duration) (accounting.Account, bool) {
	last, ok := a.last()
	if !ok {
		return accounting.Account{}, false
	}
	a.producer = last.Queue.Producer
	delivered, err := s.delivered(a.producer)
	if s.trouble = err; err != nil {
		return accounting.Account{}, false
	}
	counted := time.Now()
	newer := func() bool {
		last, _ = a.last()
		return !last.At.Before(counted)
	}
	if patience > 0 && !await.Within(s.t.Context(), patience, newer) {
		return accounting.Account{}, false
	}
	return accounting.Balance(last.Queue, delivered), true
}

// last gives the last line of the account.
func (a *app) last() (l line, ok bool) {
	file, err := os.Open(a.out)
	if err != nil {
		return l, false
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-64<<10), io.SeekStart)
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return l, false
	}
	for text := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(text, "account "); found && strings.HasSuffix(rest, "\n") && json.Unmarshal([]byte(rest), &l) == nil {
			ok = true
		}
	}
	return l, ok
}

// delivered counts in the index.
func (s *system) delivered(producer string) (d accounting.Delivered, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.store.Refresh(ctx); err != nil {
		return d, err
	}
	body := fmt.Sprintf(`{"size":0,"track_total_hits":true,"query":{"bool":{"filter":[{"term":{"producer_id":%q}}]}},"aggs":{"max":{"max":{"field":"seq"}}}}`, producer)
	var answer struct {
		TimedOut bool                            `json:"timed_out"`
		Shards   struct{ Total, Successful int } `json:"_shards"`
		Hits     struct{ Total struct{ Value uint64 } }
		Aggs     struct{ Max struct{ Value float64 } } `json:"aggregations"`
	}
	if err := s.search(ctx, body, &answer); err != nil {
		return d, err
	}
	if answer.TimedOut || answer.Shards.Total != answer.Shards.Successful || answer.Shards.Total == 0 {
		return d, fmt.Errorf("answer is not complete: %+v", answer)
	}
	d.Indexed, d.Highest = answer.Hits.Total.Value, uint64(answer.Aggs.Max.Value)
	page, err := s.store.Search(ctx, store.Query{Size: store.MaxSize, Filters: []store.Filter{{Field: store.FieldAction, Values: []string{string(event.ActionGap)}}, {Field: store.FieldObjectID, Values: []string{producer}}}})
	if err != nil {
		return d, err
	}
	if page.HasMore {
		return d, fmt.Errorf("more than %d gap records", store.MaxSize)
	}
	for _, r := range page.Records {
		if gap, ok := event.GapOf(r); ok && gap.From > 0 {
			d.Lost += gap.To - gap.From + 1
		}
	}
	return d, nil
}

func (s *system) search(ctx context.Context, body string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/"+s.prefix+"/_search?allow_partial_search_results=false", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("search: %s", res.Status)
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// finish lets the applications end and the consumers carry what is left, and stops them.
func (s *system) finish() {
	t := s.t
	t.Helper()
	for _, a := range s.apps {
		a.stop() // waits until all is confirmed
		if ends := lines(t, a.out, "end"); len(ends) != 1 || ends[0] != "0" {
			t.Errorf("%s: end %v, want one, with 0 pending", a.name, ends)
		}
	}
	pending := uint64(0)
	nothing := await.Within(t.Context(), 5*time.Minute, func() bool {
		pending = 0
		for _, a := range s.apps {
			pending += s.account(a).Pending
		}
		return pending == 0 && s.letters() == s.published
	})
	if !nothing {
		t.Errorf("never became nothing: %d pending, %d letters of %d", pending, s.letters(), s.published)
	}
	for _, p := range s.consumers {
		p.stop()
	}
}

// letters gives how many letters there are.
func (s *system) letters() int {
	s.t.Helper()
	open := func(ctx context.Context, from int64) (deadletter.Source, error) {
		return rabbit.NewSource(ctx, s.dead, "check", stream.SourceOptions{StartAt: func(context.Context) (int64, bool, error) { return from, true, nil }})
	}
	box, err := deadletter.New(open, nil, deadletter.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := box.Open(ctx)
	if err != nil {
		s.t.Errorf("read the dead letters: %v", err)
	}
	return n
}

// indexed gives all records of the index.
func (s *system) indexed() (all []event.Record) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := s.store.Refresh(ctx); err != nil {
		s.t.Fatal(err)
	}
	q := store.Query{Size: store.MaxSize, TotalLimit: -1, Ascending: true}
	for {
		page, err := s.store.Search(ctx, q)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, page.Records...)
		if !page.HasMore {
			return all
		}
		last := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &last
	}
}

// read gives what the book has.
func (a *app) read(t testing.TB) (issued []event.Record, kept []string) {
	t.Helper()
	for _, text := range lines(t, a.book, "issue") {
		r, err := event.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		issued = append(issued, r)
	}
	return issued, lines(t, a.book, "kept")
}

// committed gives the ids of the things whose write has returned success.
func (a *app) committed() map[string]bool {
	ids := make(map[string]bool)
	for _, id := range lines(a.t, a.out, "commit") {
		ids[id] = true
	}
	return ids
}

// measure notes the memory and the file descriptors of a process, the largest ones.
func (s *system) measure(p *process) {
	folder := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	status, err := os.ReadFile(folder + "/status")
	if err != nil {
		return
	}
	for text := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(text, "VmRSS:"); ok {
			if kb, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				s.memory[p.name] = max(s.memory[p.name], kb/1024)
			}
		}
	}
	if entries, err := os.ReadDir(folder + "/fd"); err == nil {
		s.descriptors[p.name] = max(s.descriptors[p.name], len(entries))
	}
}
