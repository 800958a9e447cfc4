package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The releases are public and never change.
const (
	firstVersion, secondVersion = "20.7.3", "24.6.1"
	wait                        = 10 * time.Minute
)

var (
	fetchFirst  = sync.OnceValues(func() ([]Subdivision, error) { return fetch(context.Background(), firstVersion) })
	fetchSecond = sync.OnceValues(func() ([]Subdivision, error) { return fetch(context.Background(), secondVersion) })
)

func releases(t *testing.T) (first, second []Subdivision) {
	t.Helper()
	first, err1 := fetchFirst()
	second, err2 := fetchSecond()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return first, second
}

// openPipeline opens a pipeline with names of its own, by way of the spool or the outbox, without a
// consumer.
func openPipeline(t *testing.T, outbox bool) *pipeline {
	t.Helper()
	env := map[string]string{
		"POSTGRES_DSN": testservers.Postgres(t), "RABBITMQ_STREAM_URI": testservers.RabbitMQ(t), "OPENSEARCH_URL": testservers.OpenSearch(t),
	}
	s, err := settingsFrom(func(name string) string { return env[name] }, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.outbox = outbox
	p, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestRegistry_searchTellsWhatTheFilesTell(t *testing.T) {
	t.Parallel()
	p := openPipeline(t, false)
	first, second := releases(t)
	if err := p.consume(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	for _, step := range []struct {
		version        string
		before, after  []Subdivision
		nothingChanged bool
	}{
		{firstVersion, nil, first, false},
		{secondVersion, first, second, false},
		{secondVersion + " again", second, second, true},
	} {
		got, err := p.importAndSearch(ctx, step.version, step.after)
		if err != nil {
			t.Fatal(err)
		}
		want := compare(step.before, step.after)
		if (len(want) == 0) != step.nothingChanged {
			t.Errorf("%s: %d differences in the files", step.version, len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -files +search:\n%s", step.version, diff)
		}
		t.Logf("%s: %v", step.version, counts(got))
	}
}

// TestRegistry_consumerKilled imports both releases with a consumer in a process of its own, which is
// killed in the middle of each import, when some of its records can be found.
func TestRegistry_consumerKilled(t *testing.T) {
	t.Parallel()
	p := openPipeline(t, true)
	first, second := releases(t)
	program := buildConsumer(t)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	gate := newGate(t, p.db)
	found := 0
	for _, step := range []struct {
		version       string
		before, after []Subdivision
		statements    int // that pass before the consumer has died: about half
	}{
		{firstVersion, nil, first, 100},
		{secondVersion, first, second, 1000},
	} {
		consumer := startConsumer(t, program, p.settings, 50) // in small steps, to die between two
		gate.closeAfter(step.statements)
		type result struct {
			differences []difference
			err         error
		}
		imported := make(chan result, 1)
		go func() {
			d, err := p.importAndSearch(ctx, step.version, step.after)
			imported <- result{d, err}
		}()
		// The import now stops half-way. At some records of it, the consumer dies.
		awaitTotal(t, ctx, p, found+200)
		kill(t, consumer)
		t.Logf("%s: killed with %d records of %d in the store", step.version, total(t, ctx, p), p.auditor.Stats().Emitted)
		gate.open()
		restarted := startConsumer(t, program, p.settings, 1000)
		got := <-imported
		kill(t, restarted)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if diff := cmp.Diff(compare(step.before, step.after), got.differences); diff != "" {
			t.Errorf("%s: -files +search:\n%s", step.version, diff)
		}
		found += len(got.differences)
	}
	// Every record is there, and there once.
	if documents, emitted := total(t, ctx, p), p.auditor.Stats().Emitted; documents != found || emitted != int64(found) {
		t.Errorf("%d documents of %d records, want %d", documents, emitted, found)
	}
}

// total gives how many documents there are.
func total(t *testing.T, ctx context.Context, p *pipeline) int {
	t.Helper()
	if err := p.search.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	page, err := p.search.Search(ctx, store.Query{Size: 1, TotalLimit: 1_000_000}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return int(page.Total)
}

// gate stops writes of a handle.
type gate struct {
	mu     sync.Mutex
	left   int
	opened chan struct{}
}

// newGate puts a gate before the creates, updates and deletes of db.
func newGate(t *testing.T, db *gorm.DB) *gate {
	t.Helper()
	g := &gate{opened: make(chan struct{})}
	pass := func(db *gorm.DB) {
		g.mu.Lock()
		g.left--
		closed, opened := g.left < 0, g.opened
		g.mu.Unlock()
		if closed {
			select {
			case <-opened:
			case <-db.Statement.Context.Done():
			}
		}
	}
	c := db.Callback()
	err := errors.Join(c.Create().Before("gorm:create").Register("test:gate", pass),
		c.Update().Before("gorm:update").Register("test:gate", pass), c.Delete().Before("gorm:delete").Register("test:gate", pass))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// closeAfter lets n more statements pass.
func (g *gate) closeAfter(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.opened = n, make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
}

// buildConsumer builds cmd/auditlog.
func buildConsumer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "auditlog")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/gormtrail/audit/cmd/auditlog").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// startConsumer starts auditlog consume in a process of its own.
func startConsumer(t *testing.T, program string, s settings, batchSize int) *exec.Cmd {
	t.Helper()
	u, err := url.Parse(s.opensearch.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "consume", "--consumer-name", "worker-01", "--group", group, "--batch-size", strconv.Itoa(batchSize),
		"--dead-letters", s.deadLetters().Stream)
	cmd.Dir = t.TempDir() // without a .env
	cmd.Env = append(os.Environ(),
		"RABBITMQ_STREAM_HOST="+s.stream.Host, "RABBITMQ_STREAM_PORT="+strconv.Itoa(s.stream.Port),
		"RABBITMQ_STREAM_USER="+s.stream.User, "RABBITMQ_STREAM_PASSWORD="+s.stream.Password,
		"RABBITMQ_STREAM_VHOST="+s.stream.VHost, "RABBITMQ_STREAM_NAME="+s.stream.Stream,
		"OPENSEARCH_HOST="+host, "OPENSEARCH_PORT="+port, "OPENSEARCH_INDEX_PREFIX="+s.opensearch.IndexPrefix)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test has failed before
			kill(t, cmd)
		}
	})
	return cmd
}

// kill ends the process as a crash would.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the consumer had ended before it was killed: %v", err)
	}
}

// awaitTotal waits until there are at least so many documents.
func awaitTotal(t *testing.T, ctx context.Context, p *pipeline, want int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for got := total(t, ctx, p); got < want; got = total(t, ctx, p) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d documents, want %d: %v", got, want, ctx.Err())
		}
	}
}
