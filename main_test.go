package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
)

// What a child process does, and where.
const (
	childMode = "AUDIT_TEST_CHILD"
	childAt   = "AUDIT_TEST_CHILD_AT"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := attemptChild(mode, os.Getenv(childAt)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The cache of prepared statements of GORM 1.30 has a goroutine that nothing can end.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}

// recorder is a sink that keeps records.
type recorder struct {
	mu      sync.Mutex
	records []event.Record
	self    []event.Record // about auditing itself, which most tests have no eye for
	err     error
}

func (r *recorder) Write(_ context.Context, records []event.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	for _, record := range records {
		if record.ObjectType == audit.ObjectTypeConfig {
			r.self = append(r.self, record)
			continue
		}
		r.records = append(r.records, record)
	}
	return nil
}

// WriteEncoded is Write, and checks the encodings.
func (r *recorder) WriteEncoded(ctx context.Context, records []event.Record, encoded [][]byte) error {
	for i := range records {
		want, err := event.Encode(records[i])
		if encoded[i] != nil && (err != nil || !bytes.Equal(encoded[i], want)) {
			return fmt.Errorf("record %d is %s, but its encoding is %s", i, want, encoded[i])
		}
	}
	return r.Write(ctx, records)
}

// take gives the records since the last call.
func (r *recorder) take() []event.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := r.records
	r.records = nil
	return records
}

// only takes the records and fails the test unless there is exactly one.
func (r *recorder) only(t testing.TB) event.Record {
	t.Helper()
	records := r.take()
	if len(records) != 1 {
		t.Fatalf("got %d records, want 1:\n%s", len(records), lines(records))
	}
	return records[0]
}

// line says in one line what a record is about.
func line(r event.Record) string {
	s := fmt.Sprintf("%s %s %s %q", r.Action, r.ObjectType, r.ObjectID, r.ObjectRepr)
	if r.SourceModel != "" {
		s += fmt.Sprintf(" from %s %s %q", r.SourceModel, r.SourcePK, r.SourceRepr)
	}
	for _, c := range r.Changes {
		if c.Field == "updated_at" {
			continue // it changes or not, depending on the second
		}
		if r.Action == event.ActionChange || r.Action == event.ActionRestore {
			s += fmt.Sprintf(" %s:%s->%s", c.Field, c.Old, c.New)
		}
	}
	if v, ok := r.Extra[audit.ExtraCascaded]; ok {
		s += fmt.Sprintf(" cascaded:%v", v)
	}
	return s
}

func lines(records []event.Record) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(line(r) + "\n")
	}
	return b.String()
}

// expect takes the records and compares their lines.
func (r *recorder) expect(t testing.TB, want ...string) {
	t.Helper()
	expect(t, r.take(), want...)
}

func expect(t testing.TB, records []event.Record, want ...string) {
	t.Helper()
	got := lines(records)
	if w := strings.Join(append(want, ""), "\n"); got != w {
		t.Errorf("records:\n%swant:\n%s", got, w)
	}
}

// openers are the databases that the tests run on.
var openers = []struct {
	name string
	open func(t testing.TB) gorm.Dialector
}{
	{"sqlite", func(t testing.TB) gorm.Dialector {
		return sqlite.Open("file:" + strings.ReplaceAll(filepath.Join(t.TempDir(), "audit.db"), "#", "%23") + "?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(0)")
	}},
	{"postgres", func(t testing.TB) gorm.Dialector { return postgres.Open(testservers.PostgresSchema(t)) }},
}

// each runs a test on every database.
func each(t *testing.T, f func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t, o.open(t), &gorm.Config{DisableForeignKeyConstraintWhenMigrating: true}))
		})
	}
}

func open(t testing.TB, dialector gorm.Dialector, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	cfg.Logger = logger.Discard
	db, err := gorm.Open(dialector, cfg)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// setup registers and migrates the models of the tests and gives a handle with an actor, whose records
// go to the recorder.
func setup(t testing.TB, db *gorm.DB, cfg audit.Config) (*gorm.DB, *recorder) {
	t.Helper()
	rec := &recorder{}
	if cfg.Registry == nil {
		cfg.Registry = company(t)
	}
	if cfg.Sink == nil && cfg.TxSink == nil {
		cfg.Sink = rec
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	must(t, db.AutoMigrate(cfg.Registry.Models()...))
	must(t, db.Use(audit.New(cfg)))
	return db.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7", Username: "john.doe", FullName: "John Doe"})), rec
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Customer is an ordinary model.
type Customer struct {
	ID        uint
	Name      string
	Email     string
	Phone     string `audit:"label:Phone number"`
	Note      string `audit:"-"`
	Secret    string
	Settings  map[string]any `gorm:"serializer:json"`
	Balance   string         `gorm:"type:decimal(10,2);default:0"`
	Active    bool
	UpdatedAt int64
	DeletedAt gorm.DeletedAt
}

// Employee has dependents.
type Employee struct {
	ID         uint
	Name       string
	Dependents []Dependent
	DeletedAt  gorm.DeletedAt
}

// Dependent is logged under its employee, without an association of its own.
type Dependent struct {
	ID         uint
	EmployeeID *uint
	FullName   string
	Toys       []Toy
}

func (d Dependent) String() string { return "dependent " + d.FullName }

// AuditLogTarget says where it is logged.
func (Dependent) AuditLogTarget() string { return "hrm.Employee" }

// Toy is logged under the employee of its dependent.
type Toy struct {
	ID          uint
	Name        string
	DependentID uint
}

func company(t testing.TB) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Customer{}))
	must(t, reg.Register(&Employee{}, audit.AppLabel("hrm")))
	must(t, reg.Register(&Dependent{}, audit.AppLabel("hrm")))
	must(t, reg.Register(&Toy{}, audit.Target(&Dependent{})))
	return reg
}
