package alerts_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/cli"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

var listens = regexp.MustCompile(`says how it is.* listen=(\S+)`)

// auditlog runs the program until the test ends, and gives the address of its metrics.
func auditlog(t *testing.T, variables map[string]string, args ...string) (address string) {
	t.Helper()
	address, _ = auditlogSays(t, variables, args...)
	return address
}

// auditlogSays also gives what it says.
func auditlogSays(t *testing.T, variables map[string]string, args ...string) (address string, said *logbuffer.Buffer) {
	t.Helper()
	said = &logbuffer.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(ctx, cli.Program{
			Args: append([]string{"--env-file="}, args...), Stdout: said, Stderr: said,
			LookupEnv: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
			Databases: map[string]func(string) gorm.Dialector{"postgres": func(address string) gorm.Dialector {
				return postgres.Open(strings.TrimPrefix(address, "postgres:"))
			}},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != cli.ExitOK {
			t.Errorf("auditlog %v: code %d\n%s", args, code, said)
		}
	})
	await.Until(t, "auditlog "+args[0]+" listens", func() bool {
		if len(ended) > 0 {
			t.Fatalf("auditlog %v: %s", args, said)
		}
		m := listens.FindStringSubmatch(said.String())
		if m != nil {
			address = "http://" + m[1] + "/metrics"
		}
		return m != nil
	})
	return address, said
}

func get(t *testing.T, address, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	must(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Do(r)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return string(body)
}

var sampleName = regexp.MustCompile(`(?m)^([a-z_]+)[ {]`)

// TestDashboardAndRules_nameWhatIsShown: all that they ask for is shown by an application and by the running program,
// with real servers.
func TestDashboardAndRules_nameWhatIsShown(t *testing.T) {
	t.Parallel()
	source, dead := rabbittest.Stream(t), rabbittest.Stream(t)
	search, err := url.Parse(testservers.OpenSearch(t))
	must(t, err)
	dsn := testservers.PostgresSchema(t)
	const token = "0123456789abcdef"
	variables := map[string]string{
		"OPENSEARCH_HOST": search.Hostname(), "OPENSEARCH_PORT": search.Port(), "OPENSEARCH_INDEX_PREFIX": testservers.Name(t, "t-alerts-"),
		"RABBITMQ_STREAM_HOST": source.Host, "RABBITMQ_STREAM_PORT": strconv.Itoa(source.Port), "RABBITMQ_STREAM_NAME": source.Stream,
		"RABBITMQ_STREAM_USER": source.User, "RABBITMQ_STREAM_PASSWORD": source.Password, "AUDIT_API_TOKENS": "me=" + token,
	}
	t.Cleanup(func() {
		access := testservers.OpenSearchAccess(t)
		access.Do(t, http.MethodDelete, "/"+variables["OPENSEARCH_INDEX_PREFIX"]+"-2026.11", "")
		access.Do(t, http.MethodDelete, "/"+variables["OPENSEARCH_INDEX_PREFIX"]+"-checkpoints", "")
	})

	// An application: one part with a spool and its relay, one with an outbox in PostgreSQL.
	d, p := newDatabase(t)
	c := newClock()
	queue := openSpool(t, p, spool.Config{})
	db := openSQLite(t)
	must(t, db.AutoMigrate(&customer{}))
	cfg := audit.Config{Registry: audit.NewRegistry(), Scope: audit.ScopeAll, Logger: quiet, Sink: queue, SkipSelf: true, Tracer: p.AuditTracer()}
	must(t, cfg.Registry.Register(&customer{}))
	auditor := audit.New(cfg)
	must(t, db.Use(auditor))
	must(t, db.Create(&customer{Phone: "1"}).Error)
	must(t, db.Exec("UPDATE customers SET phone = '2'").Error)
	register(t, p, telemetry.Auditor(auditor), telemetry.Accounts(func() []accounting.Account {
		return []accounting.Account{accounting.Balance(queue.Accounting(), accounting.Delivered{})}
	}))
	r := runRelay(t, p, queue, rabbit.Dialer(source), relay.Config{})
	await.Until(t, "the spool is relayed", func() bool { return r.Stats().Confirmed == 1 })
	queue.MarkIndexed(1)
	app, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := app.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	box, err := outbox.New(app, outbox.Config{Logger: quiet})
	must(t, err)
	must(t, app.Transaction(func(tx *gorm.DB) error {
		return box.WriteTx(t.Context(), tx.Statement.ConnPool, records(c, "", 0, 3, 0))
	}))
	d.scrape(t, c.now())

	// The program.
	relaying := auditlog(t, variables, "relay", "--outbox", "postgres:"+dsn, "--listen", "127.0.0.1:0")
	consuming := auditlog(t, variables, "consume", "--dead-letters", dead.Stream, "--watermarks=false", "--listen", "127.0.0.1:0")
	await.Until(t, "all records are stored", func() bool {
		return strings.Contains(get(t, consuming, ""), `audit_consumer_settled_total{outcome="stored",stream="`+source.Stream+`"} 4`)
	})
	await.Until(t, "the lag is known", func() bool { return strings.Contains(get(t, consuming, ""), "\naudit_consumer_lag{") })
	serving, said := auditlogSays(t, variables, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--record-reads=false")
	await.Until(t, "the pages are served", func() bool { return strings.Contains(said.String(), "audit trail: http://") })
	_, rest, _ := strings.Cut(said.String(), "audit trail: ")
	page, _, _ := strings.Cut(rest, "/audit/")
	get(t, page+"/api/audit-logs/search/", token)

	shown := map[string]bool{}
	for _, s := range d.series {
		shown[s.labels.Get("__name__")] = true
	}
	for name := range shown { // of a histogram, which the database has without its buckets
		if base, ok := strings.CutSuffix(name, "_count"); ok {
			shown[base+"_bucket"] = true
		}
	}
	for _, address := range []string{relaying, consuming, serving} {
		text := get(t, address, "")
		if !strings.Contains(text, "\ngo_goroutines ") {
			t.Errorf("%s shows no numbers of the process", address)
		}
		for _, m := range sampleName.FindAllStringSubmatch(text, -1) {
			shown[m[1]] = true
		}
	}
	asked := 0
	check := func(where, expr string) {
		for _, name := range metricsOf(t, where, expr) {
			asked++
			if !shown[name] {
				t.Errorf("%s asks for %s, which nobody shows", where, name)
			}
		}
	}
	for _, rule := range rules(t) {
		check(rule.Alert, rule.Expr)
	}
	for panel, exprs := range dashboardExprs(t) {
		for _, expr := range exprs {
			check("panel "+panel, expr)
		}
	}
	if asked < 80 {
		t.Errorf("only %d metrics are asked for", asked)
	}
}
