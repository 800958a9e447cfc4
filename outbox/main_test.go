package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
)

var (
	_ audit.TxSink              = (*outbox.Outbox)(nil)
	_ relay.Queue               = (*outbox.Queue)(nil)
	_ relay.Pool[*outbox.Queue] = (*outbox.Queue)(nil)
)

func TestMain(m *testing.M) {
	if os.Getenv("OUTBOX_TEST_CHILD") != "" {
		child()
		return
	}
	// GORM's cache of prepared statements has a goroutine that nothing ends (1.30).
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

var quiet = slog.New(slog.DiscardHandler)

// note is a row of the application.
type note struct {
	ID   int64
	Text string
}

// database is a kind of database, of which address makes an empty one.
type database struct {
	name    string
	address func(t testing.TB) string
	open    func(address string) gorm.Dialector
}

func kinds() []database {
	all := []database{
		{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "app.db") }, func(path string) gorm.Dialector {
			return sqlite.Open(path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(30000)&_txlock=immediate")
		}},
		{"postgres", testservers.PostgresSchema, postgres.Open},
		{"mariadb", testservers.MariaDBDatabase, mysql.Open},
	}
	if long() { // make test does not start MySQL
		all = append(all, database{"mysql", testservers.MySQLDatabase, mysql.Open})
	}
	return all
}

func long() bool { return testservers.Long() }

// count gives the number of a short run, or of a long one.
func count(short, full int) int {
	if long() {
		return full
	}
	return short
}

func eachDatabase(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range kinds() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

// connect opens a database that is closed when the test ends.
func (d database) connect(t testing.TB, address string) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(d.open(address), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newOutbox(t testing.TB, db *gorm.DB, cfg outbox.Config) *outbox.Outbox {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	o, err := outbox.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func fast() outbox.QueueConfig {
	return outbox.QueueConfig{MinPoll: time.Millisecond, MaxPoll: 10 * time.Millisecond, Takeover: 20 * time.Millisecond}
}

func openQueue(t testing.TB, o *outbox.Outbox, cfg outbox.QueueConfig) *outbox.Queue {
	t.Helper()
	q, err := o.Queue(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func record(id string) event.Record {
	return event.Record{LogID: id, Timestamp: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), Action: event.ActionAdd, ObjectType: "note", ObjectRepr: "it's a \\ \"note\" – ü 😀"}
}

func records(from, to int) []event.Record {
	var all []event.Record
	for i := from; i <= to; i++ {
		all = append(all, record(fmt.Sprintf("id-%d", i)))
	}
	return all
}

// write writes records in a transaction of their own.
func write(t testing.TB, db *gorm.DB, o *outbox.Outbox, records ...event.Record) {
	t.Helper()
	err := db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
		return o.WriteTx(t.Context(), tx.Statement.ConnPool, records)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func stats(t testing.TB, o *outbox.Outbox) outbox.Stats {
	t.Helper()
	s, err := o.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readAll reads what is in the queue now, behind after.
func readAll(t testing.TB, q *outbox.Queue, after uint64) (ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last, err := q.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for after < last {
		messages, err := q.Read(ctx, after, 1000)
		if err != nil {
			t.Fatalf("behind %d: %v", after, err)
		}
		for _, m := range messages {
			ids = append(ids, m.ID)
			after = m.Seq
		}
	}
	return ids
}
