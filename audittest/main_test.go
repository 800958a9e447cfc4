package audittest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
	"github.com/gormtrail/audit/internal/testservers"
)

func TestMain(m *testing.M) {
	// GORM's cache of prepared statements has a goroutine that nothing ends (1.30).
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// Employee is the parent of customers.
type Employee struct {
	ID   uint
	Name string
}

// Customer is a dependent of an employee.
type Customer struct {
	ID         uint
	EmployeeID uint
	Employee   *Employee
	Name       string
	Phone      string `audit:"label:Phone number"`
	Password   string
	Balance    string `gorm:"type:decimal(10,2)"`
}

func (c Customer) String() string { return c.Name }

func registry(t testing.TB) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	if err := reg.Register(&Employee{}); err != nil {
		t.Fatal(err)
	}
	if err := reg.Register(&Customer{}, audit.Target("Employee")); err != nil {
		t.Fatal(err)
	}
	return reg
}

func open(t testing.TB, dialector gorm.Dialector, cfg audit.Config) (*gorm.DB, *audittest.Recorder) {
	t.Helper()
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	if err := db.AutoMigrate(&Employee{}, &Customer{}); err != nil {
		t.Fatal(err)
	}
	cfg.Registry, cfg.Scope = registry(t), audit.ScopeAll
	return db, audittest.Install(t, db, cfg)
}

func sqliteFile(t testing.TB) gorm.Dialector {
	t.Helper()
	return sqlite.Open(t.TempDir() + "/a.db?_pragma=busy_timeout(10000)")
}

func postgresSchema(t testing.TB) gorm.Dialector {
	t.Helper()
	return postgres.Open(testservers.PostgresSchema(t))
}

// failures is a testing.TB that keeps what it is told.
type failures struct {
	testing.TB
	errors []string
	fatal  bool
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *failures) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	f.fatal = true
	panic(f)
}

// failing gives what f reported of one assertion.
func failing(t testing.TB, assert func(tb testing.TB)) *failures {
	t.Helper()
	f := &failures{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		assert(f)
	}()
	return f
}

func (f *failures) text() string { return strings.Join(f.errors, "\n") }
