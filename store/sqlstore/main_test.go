package sqlstore_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store/sqlstore"
)

func TestMain(m *testing.M) {
	// GORM's cache of prepared statements has a goroutine that nothing ends (1.30).
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// open opens a database that is closed when the test ends.
func open(t testing.TB, dialector gorm.Dialector) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
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

const pragmas = "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)"

func sqliteFile(t testing.TB) *gorm.DB {
	t.Helper()
	return open(t, sqlite.Open(filepath.Join(t.TempDir(), "audit.db")+pragmas))
}

// sqliteMemory is in memory, on the single connection that such a database has.
func sqliteMemory(t testing.TB) *gorm.DB {
	t.Helper()
	db := open(t, sqlite.Open(":memory:"))
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	raw.SetMaxOpenConns(1)
	return db
}

func postgresSchema(t testing.TB) *gorm.DB {
	t.Helper()
	return open(t, postgres.Open(testservers.PostgresSchema(t)))
}

func mariadb(t testing.TB) *gorm.DB {
	t.Helper()
	return open(t, mysql.Open(testservers.MariaDBDatabase(t)))
}

// databases are all kinds that the store knows.
var databases = []struct {
	name string
	open func(testing.TB) *gorm.DB
}{
	{"sqlite", sqliteFile},
	{"sqlite in memory", sqliteMemory},
	{"postgres", postgresSchema},
	{"mariadb", mariadb},
}

// strictLogger fails the test for every line that is logged: a store that falls back to reading would
// pass all tests, only slower.
type strictLogger struct {
	slog.Handler
	t testing.TB
}

func (strictLogger) Enabled(context.Context, slog.Level) bool { return true }

func (l strictLogger) Handle(_ context.Context, r slog.Record) error {
	var attrs []string
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a.String())
		return true
	})
	l.t.Errorf("logged: %s %s", r.Message, strings.Join(attrs, " "))
	return nil
}

func newStore(t testing.TB, db *gorm.DB, cfg sqlstore.Config) *sqlstore.Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(strictLogger{Handler: slog.DiscardHandler, t: t})
	}
	s, err := sqlstore.New(db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
