package alerts_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
	"github.com/gormtrail/audit/store/storetest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

var quiet = slog.New(slog.DiscardHandler)

// must ends the test with an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func register(t *testing.T, p telemetry.Providers, sources ...telemetry.Source) (stop func() error) {
	t.Helper()
	stop, err := p.Register(sources...)
	must(t, err)
	return stop
}

type customer struct {
	ID    uint
	Phone string
}

func openSQLite(t *testing.T) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "app.db")), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// brokenSink fails when it is told to.
type brokenSink struct{ broken atomic.Bool }

func (s *brokenSink) Write(context.Context, []event.Record) error {
	if s.broken.Load() {
		return errors.New("no")
	}
	return nil
}

// application gives a database whose customers are recorded.
func application(t *testing.T, p telemetry.Providers, sink audit.Sink) *gorm.DB {
	t.Helper()
	db := openSQLite(t)
	must(t, db.AutoMigrate(&customer{}))
	cfg := audit.Config{Registry: audit.NewRegistry(), Scope: audit.ScopeAll, Logger: quiet, Sink: sink, SkipSelf: true}
	must(t, cfg.Registry.Register(&customer{}))
	a := audit.New(cfg)
	must(t, db.Use(a))
	must(t, db.Create(&customer{Phone: "1"}).Error)
	register(t, p, telemetry.Auditor(a))
	return db
}

// records gives records of a producer from a sequence on.
func records(c *clock, producer string, from uint64, n, size int) []event.Record {
	list := make([]event.Record, n)
	for i := range list {
		list[i] = event.Record{LogID: event.NewID(c.now()), Timestamp: c.now(), Action: event.ActionAdd, ObjectType: "customer", ObjectID: strconv.Itoa(i), ProducerID: producer}
		if producer != "" {
			list[i].Seq = from + uint64(i)
		}
		if size > 0 {
			list[i].Extra = map[string]any{"text": strings.Repeat("x", size)}
		}
	}
	return list
}

// openSpool gives a spool on the test's clock.
func openSpool(t *testing.T, p telemetry.Providers, cfg spool.Config) *spool.Spool {
	t.Helper()
	cfg.Logger = quiet
	q, err := spool.Open(t.TempDir(), cfg)
	must(t, err)
	t.Cleanup(func() { _ = q.Close() })
	register(t, p, telemetry.Spool(q))
	return q
}

// runRelay relays the queue until the test ends.
func runRelay(t *testing.T, p telemetry.Providers, q relay.Queue, dial relay.DialFunc, cfg relay.Config) *relay.Relay {
	t.Helper()
	cfg.Logger, cfg.MinPause, cfg.MaxPause = quiet, time.Millisecond, 10*time.Millisecond
	r, err := relay.New(q, dial, cfg)
	must(t, err)
	register(t, p, telemetry.Relay(q.Producer(), r))
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	return r
}

func dialMemory(s *memory.Stream) relay.DialFunc {
	return func(ctx context.Context, name string) (stream.Publisher, error) { return s.Publisher(ctx, name) }
}

// moodyStore is a store that does as it is told.
type moodyStore struct {
	*storetest.Memory

	status atomic.Int64 // of all records, unless it is store.Stored
}

func (s *moodyStore) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	status := store.Status(s.status.Load())
	if status == store.Stored {
		return s.Memory.Write(ctx, docs)
	}
	results := make([]store.Result, len(docs))
	for i := range results {
		results[i] = store.Result{Status: status, Err: errors.New("as it was told")}
	}
	return results, nil
}

// letters are dead letters that are kept in memory.
type letters struct{ n atomic.Int64 }

func (l *letters) Append(_ context.Context, m ...stream.Message) error {
	l.n.Add(int64(len(m)))
	return nil
}

// checkpoints cannot be saved when they are told so.
type checkpoints struct{ broken atomic.Bool }

func (c *checkpoints) Save(context.Context, checkpoint.Checkpoint) error {
	if c.broken.Load() {
		return errors.New("no")
	}
	return nil
}

func (*checkpoints) Load(context.Context, string, string) (checkpoint.Checkpoint, bool, error) {
	return checkpoint.Checkpoint{}, false, nil
}

// carried is a stream with a consumer that runs.
type carried struct {
	t      *testing.T
	clock  *clock
	stream *memory.Stream
	store  *moodyStore
	saved  *checkpoints
	c      *consumer.Consumer
	stop   func()
}

func carry(t *testing.T, p telemetry.Providers, c *clock, cfg consumer.Config) *carried {
	t.Helper()
	r := &carried{t: t, clock: c, stream: memory.New(memory.Config{}), store: &moodyStore{Memory: storetest.NewMemory()}, saved: &checkpoints{}}
	dial := func(ctx context.Context) (consumer.Source, error) {
		return r.stream.Source(ctx, "group", stream.SourceOptions{})
	}
	cfg.Logger, cfg.Now, cfg.Checkpoints = quiet, c.now, r.saved
	cfg.MinBackoff, cfg.MaxBackoff, cfg.BatchAge, cfg.CommitInterval, cfg.LagInterval = time.Millisecond, 10*time.Millisecond, time.Millisecond, time.Millisecond, 5*time.Millisecond
	cfg.StopTimeout = 100 * time.Millisecond
	var err error
	r.c, err = consumer.New(dial, p.Store(r.store), &letters{}, cfg)
	must(t, err)
	register(t, p, telemetry.Consumer(r.c))
	r.run()
	t.Cleanup(func() { r.stop() })
	r.publish(records(c, "shop", 1, 3, 0)...)
	await.Until(t, "the first records are stored, and there is a checkpoint", func() bool {
		s := r.c.Stats()
		return s.Stored == 3 && s.Lag == 0 && s.Held == 0 && s.CheckpointAge == 0 && !s.LastCheckpoint.IsZero()
	})
	return r
}

// run runs the consumer until stop.
func (r *carried) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = r.c.Run(ctx) })
	r.stop = func() { cancel(); ended.Wait() }
}

func (r *carried) publish(list ...event.Record) {
	r.t.Helper()
	payloads := make([][]byte, len(list))
	for i := range list {
		data, err := event.Encode(list[i])
		must(r.t, err)
		payloads[i] = data
	}
	r.publishRaw(payloads...)
}

func (r *carried) publishRaw(payloads ...[]byte) {
	r.t.Helper()
	p, err := r.stream.Publisher(r.t.Context(), "")
	must(r.t, err)
	defer func() { _ = p.Close() }()
	messages := make([]stream.Message, len(payloads))
	for i, data := range payloads {
		messages[i] = stream.Message{Seq: uint64(i + 1), Payload: data}
	}
	must(r.t, p.Publish(r.t.Context(), messages))
}

// until waits until the numbers of the consumer are so.
func (r *carried) until(what string, so func(s consumer.Stats) bool) {
	r.t.Helper()
	await.Until(r.t, what, func() bool { return so(r.c.Stats()) })
}

var scenarios = []scenario{
	{alert: "AuditChangesFailed", make: sinkFails},
	{alert: "AuditCaptureErrors", make: sinkFails},
	{alert: "AuditWritesUnattributed", make: func(t *testing.T, p telemetry.Providers, _ *clock) func() {
		db := application(t, p, &brokenSink{})
		return func() { must(t, db.Exec("UPDATE customers SET phone = '2'").Error) }
	}},
	{alert: "AuditRecordsLost", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		nowhere := func(context.Context, string) (stream.Publisher, error) { return nil, errors.New("no broker") }
		d, err := relay.NewDirect(nowhere, relay.DirectConfig{MaxRecords: 2, Relay: relay.Config{Logger: quiet, Now: c.now}})
		must(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			cancel()
			_ = d.Shutdown(ctx) // gives what is lost
		})
		must(t, d.Write(t.Context(), records(c, "", 0, 2, 0)))
		register(t, p, telemetry.Direct("memory", d))
		return func() {
			if err := d.Write(t.Context(), records(c, "", 0, 3, 0)); !errors.Is(err, relay.ErrQueueFull) {
				t.Fatalf("%v, want ErrQueueFull", err)
			}
		}
	}},
	{alert: "AuditQueueOld", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q := openSpool(t, p, spool.Config{Now: c.now})
		return func() { must(t, q.Write(t.Context(), records(c, "", 0, 1, 0))) }
	}},
	{alert: "AuditQueueWillFill", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q := openSpool(t, p, spool.Config{})
		return func() {
			for range 20 { // 20 MB that no broker takes
				must(t, q.Write(t.Context(), records(c, "", 0, 10, 100_000)))
			}
		}
	}},
	{alert: "AuditSpoolProblem", make: folderIsMoved},
	{alert: "AuditSpoolDamaged", make: fileIsDamaged},
	{alert: "AuditRecordsQuarantined", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q := openSpool(t, p, spool.Config{})
		return func() {
			must(t, q.Write(t.Context(), records(c, "", 0, 1, 0)))
			list, err := q.Read(t.Context(), 0, 1)
			must(t, err)
			must(t, q.Quarantine(t.Context(), list[0], errors.New("too large")))
		}
	}},
	{alert: "AuditRelayNotConfirmed", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q, broker := openSpool(t, p, spool.Config{}), memory.New(memory.Config{})
		r := runRelay(t, p, q, dialMemory(broker), relay.Config{Now: c.now, ConfirmTimeout: time.Hour})
		return func() {
			broker.HoldConfirms(true)
			must(t, q.Write(t.Context(), records(c, "", 0, 1, 0)))
			await.Until(t, "it waits for the confirm", func() bool { return r.Stats().Unconfirmed == 1 })
		}
	}},
	{alert: "AuditRelayBlocked", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q, broker := openSpool(t, p, spool.Config{}), memory.New(memory.Config{})
		r := runRelay(t, p, q, dialMemory(broker), relay.Config{ConfirmTimeout: 50 * time.Millisecond})
		return func() {
			broker.HoldConfirms(true)
			must(t, q.Write(t.Context(), records(c, "", 0, 1, 0)))
			await.Until(t, "it gives up waiting", func() bool { return r.Stats().Blocked })
		}
	}},
	{alert: "AuditProducerNameForeign", make: nameIsForeign},
	{alert: "AuditOutboxTransactionOld", lower: [2]string{"> 600", "> 1"}, make: transactionIsOld},
	{alert: "AuditWatermarkBehind", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		q := openSpool(t, p, spool.Config{})
		must(t, q.Write(t.Context(), records(c, "", 0, 1, 0)))
		must(t, q.Acknowledge(t.Context(), 1))
		q.MarkIndexed(1)
		return func() {
			for range 51 {
				must(t, q.Write(t.Context(), records(c, "", 0, 1000, 0)))
			}
			must(t, q.Acknowledge(t.Context(), 51_001))
		}
	}},
	{alert: "AuditAccountUnbalanced", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		var ledger accounting.Ledger
		counted := ledger.Store(storetest.NewMemory())
		register(t, p, telemetry.Accounts(func() []accounting.Account {
			return ledger.Accounts(func() accounting.Queue { return accounting.Queue{Producer: "shop", Written: 2} })
		}))
		arrive := func(from uint64, n int) {
			var docs []store.Doc
			for _, r := range records(c, "shop", from, n, 0) {
				docs = append(docs, store.Doc{Record: r})
			}
			_, err := counted.Write(t.Context(), docs)
			must(t, err)
		}
		arrive(1, 2)
		return func() { arrive(3, 1) }
	}},
	{alert: "AuditConsumerGone", make: func(t *testing.T, p telemetry.Providers, _ *clock) func() {
		c, err := consumer.New(func(context.Context) (consumer.Source, error) { return nil, errors.New("none") }, storetest.NewMemory(), &letters{}, consumer.Config{Logger: quiet})
		must(t, err)
		stop := register(t, p, telemetry.Consumer(c))
		return func() { must(t, stop()) } // as its process is gone
	}},
	{alert: "AuditConsumerNotRunning", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.store.status.Store(int64(store.Environment))
			r.publish(records(c, "shop", 4, 1, 0)...)
			r.until("it waits", func(s consumer.Stats) bool { return s.State == consumer.StateWaiting })
		}
	}},
	{alert: "AuditConsumerSuspended", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{PoisonWindow: 100})
		return func() {
			r.store.status.Store(int64(store.Poison))
			r.publish(records(c, "shop", 4, 300, 0)...)
			r.until("it is suspended", func(s consumer.Stats) bool { return s.State == consumer.StateSuspended })
		}
	}},
	{alert: "AuditConsumerLagging", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.store.status.Store(int64(store.Transient))
			r.publish(records(c, "shop", 4, 1, 0)...)
			r.until("a record is held", func(s consumer.Stats) bool { return s.Held > 0 })
		}
	}},
	{alert: "AuditRetentionNear", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.store.status.Store(int64(store.Environment))
			r.publish(records(c, "shop", 4, 100, 0)...)
			r.until("all are read", func(s consumer.Stats) bool { return s.Held == 100 })
			r.stream.Truncate(2)
			r.until("most is not settled", func(s consumer.Stats) bool { return s.Unread > 0.5 })
		}
	}},
	{alert: "AuditMessagesRemoved", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.stop()
			r.publish(records(c, "shop", 4, 100, 0)...)
			r.stream.Truncate(80)
			r.run()
			r.until("it has seen the gap", func(s consumer.Stats) bool { return s.Missing > 0 })
		}
	}},
	{alert: "AuditRecordsMissing", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.publish(records(c, "shop", 6, 1, 0)...)
			r.until("two are missing", func(s consumer.Stats) bool { return s.MissingRecords == 2 })
		}
	}},
	{alert: "AuditDeadLetters", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.publishRaw([]byte("garbage"))
			r.until("it is a dead letter", func(s consumer.Stats) bool { return s.DeadLettered == 1 })
		}
	}},
	{alert: "AuditIDConflict", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			pair := records(c, "shop", 4, 2, 0)
			pair[1].LogID = pair[0].LogID
			r.publish(pair...)
			r.until("it is a conflict", func(s consumer.Stats) bool { return s.Conflicts == 1 })
		}
	}},
	{alert: "AuditCheckpointOld", make: func(t *testing.T, p telemetry.Providers, c *clock) func() {
		r := carry(t, p, c, consumer.Config{})
		return func() {
			r.saved.broken.Store(true)
			r.publish(records(c, "shop", 4, 1, 0)...)
			r.until("a checkpoint is not saved", func(s consumer.Stats) bool { return s.CheckpointErrors > 0 })
		}
	}},
	{alert: "AuditQueryErrors", make: storeIsClosed},
}

// sinkFails: records are not taken.
func sinkFails(t *testing.T, p telemetry.Providers, _ *clock) func() {
	sink := &brokenSink{}
	db := application(t, p, sink)
	return func() {
		sink.broken.Store(true)
		must(t, db.Create(&customer{Phone: "2"}).Error)
	}
}

// folderIsMoved: somebody moves the folder of a spool that is in use away.
func folderIsMoved(t *testing.T, p telemetry.Providers, c *clock) func() {
	q := openSpool(t, p, spool.Config{})
	must(t, q.Write(t.Context(), records(c, "", 0, 1, 0)))
	return func() {
		must(t, os.Rename(q.Folder(), q.Folder()+".away"))
		must(t, os.Mkdir(q.Folder(), 0o700))
		await.Until(t, "the spool has noticed", func() bool { return q.Stats().Problem == spool.ProblemRemoved })
	}
}

// fileIsDamaged: a byte in the middle of what a process has left is another one.
func fileIsDamaged(t *testing.T, p telemetry.Providers, c *clock) func() {
	parent := t.TempDir()
	q, err := spool.Open(parent, spool.Config{Logger: quiet})
	must(t, err)
	must(t, q.Write(t.Context(), records(c, "", 0, 300, 0)))
	stop := register(t, p, telemetry.Spool(q))
	return func() {
		must(t, stop())
		folder := q.Folder()
		must(t, q.Close())
		files, err := filepath.Glob(filepath.Join(folder, "*"))
		must(t, err)
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "customer") {
				data[strings.LastIndex(string(data), "customer")/2] ^= 0xff
				must(t, os.WriteFile(file, data, 0o600))
			}
		}
		left, err := spool.Orphans(parent, spool.Config{Logger: quiet})
		must(t, err)
		for _, o := range left {
			t.Cleanup(func() { _ = o.Close() })
			register(t, p, telemetry.Spool(o))
			for after := uint64(0); o.Stats().DamagedBytes == 0; {
				list, err := o.Read(t.Context(), after, 100)
				must(t, err) // io.EOF at the end, without damage
				after = list[len(list)-1].Seq
			}
		}
	}
}

// nameIsForeign: on the real broker, somebody publishes under the producer name of a spool.
func nameIsForeign(t *testing.T, p telemetry.Providers, _ *clock) func() {
	target := rabbittest.Stream(t)
	q := openSpool(t, p, spool.Config{})
	dial := rabbit.Dialer(target)
	var current atomic.Pointer[stream.Publisher]
	r := runRelay(t, p, q, func(ctx context.Context, name string) (stream.Publisher, error) {
		publisher, err := dial(ctx, name)
		if err == nil {
			current.Store(&publisher)
		}
		return publisher, err
	}, relay.Config{})
	await.Until(t, "the relay is connected", func() bool { return r.Stats().Connected })
	return func() {
		foreign, err := dial(t.Context(), q.Producer())
		must(t, err)
		must(t, foreign.Publish(t.Context(), []stream.Message{{ID: "x", Seq: 1000, Payload: []byte("{}")}}))
		await.Until(t, "the broker has it", func() bool {
			select {
			case seq := <-foreign.Confirmed():
				return seq == 1000
			default:
				return false
			}
		})
		_ = foreign.Close()
		_ = (*current.Load()).Close() // the relay connects again
		await.Until(t, "the name is given up", func() bool { return r.Stats().AbandonedNames > 0 })
	}
}

// transactionIsOld: somebody leaves a transaction open on PostgreSQL.
func transactionIsOld(t *testing.T, p telemetry.Providers, _ *clock) func() {
	db, err := gorm.Open(postgres.Open(testservers.PostgresSchema(t)), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	o, err := outbox.New(db, outbox.Config{Logger: quiet})
	must(t, err)
	register(t, p, telemetry.Outbox(o))
	return func() {
		tx, err := pool.BeginTx(t.Context(), nil)
		must(t, err)
		t.Cleanup(func() { _ = tx.Rollback() })
		_, err = tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock_shared(1)")
		must(t, err)
		await.Until(t, "it is old", func() bool {
			s, err := o.Stats(t.Context())
			must(t, err)
			return s.OldestTransaction > 1100*time.Millisecond
		})
	}
}

// storeIsClosed: the database of the trail is gone while the query API serves.
func storeIsClosed(t *testing.T, p telemetry.Providers, c *clock) func() {
	db := openSQLite(t)
	s, err := sqlstore.New(db, sqlstore.Config{Logger: quiet})
	must(t, err)
	who, err := query.BearerTokens(map[string]query.Grant{"0123456789abcdef": {Principal: "me"}})
	must(t, err)
	router := gin.New()
	must(t, query.Mount(router, query.Options{Store: s, Logger: quiet, CursorKey: []byte(strings.Repeat("k", 32)), Observe: p.Query(), Authorizer: who}))
	want := 2
	c.tick = func() { // somebody asks all the time
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/search/", http.NoBody)
		r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		if w.Code/100 != want {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	}
	pool, err := db.DB()
	must(t, err)
	return func() {
		want = 5
		must(t, pool.Close())
	}
}
