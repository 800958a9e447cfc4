package capture_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/internal/tx"
)

// recorder is a root package that keeps what it is given.
type recorder struct {
	mu        sync.Mutex
	models    map[string]*capture.Model
	committed []capture.Change
	units     int
	summaries []capture.Summary
	items     []tx.Item
	discarded int
	skipped   []string
	failed    []error

	inTx, strict bool
	beforeCommit func(ctx context.Context, conn gorm.ConnPool, items []tx.Item) error
}

func (r *recorder) hooks() capture.Hooks {
	return capture.Hooks{
		Hooks: tx.Hooks{
			BeforeCommit: func(ctx context.Context, conn gorm.ConnPool, items []tx.Item) error {
				if r.beforeCommit != nil {
					return r.beforeCommit(ctx, conn, items)
				}
				return nil
			},
			AfterCommit: func(_ context.Context, items []tx.Item) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.units++
				for _, item := range items {
					switch item := item.(type) {
					case capture.Change:
						r.committed = append(r.committed, item)
					case capture.Summary:
						r.summaries = append(r.summaries, item)
					default:
						r.items = append(r.items, item)
					}
				}
			},
			Discarded: func(items []tx.Item) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.discarded += len(items)
			},
		},
		Model: func(st *gorm.Statement) *capture.Model {
			name := capture.TableName(st)
			return r.models[name[strings.LastIndexByte(name, '.')+1:]]
		},
		Captured: func(_ *gorm.Statement, changes []capture.Change, summary *capture.Summary) []tx.Item {
			var items []tx.Item
			for _, c := range changes {
				items = append(items, c)
			}
			if summary != nil {
				items = append(items, *summary)
			}
			return items
		},
		Skipped: func(_ *gorm.Statement, reason string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.skipped = append(r.skipped, reason)
		},
		Failed: func(_ *gorm.Statement, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.failed = append(r.failed, err)
		},
		InTx:   r.inTx,
		Strict: func(*capture.Model, capture.Op) bool { return r.strict },
	}
}

// register captures the models with all their columns.
func (r *recorder) register(t testing.TB, db *gorm.DB, models ...any) {
	t.Helper()
	if r.models == nil {
		r.models = map[string]*capture.Model{}
	}
	for _, m := range models {
		st := &gorm.Statement{DB: db}
		if err := st.Parse(m); err != nil {
			t.Fatal(err)
		}
		r.add(st.Schema)
		for _, rel := range st.Schema.Relationships.Many2Many {
			r.add(rel.JoinTable)
		}
	}
}

func nopAfterCommit(context.Context, []tx.Item) {}

func (r *recorder) add(s *schema.Schema) {
	name := s.Table[strings.LastIndexByte(s.Table, '.')+1:]
	r.models[name] = &capture.Model{Schema: s, Columns: s.DBNames}
}

// changes gives what was committed, as rows of the oracle.
func (r *recorder) changes() []oracle.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []oracle.Change
	for _, c := range r.committed {
		table := c.Table[strings.LastIndexByte(c.Table, '.')+1:]
		out = append(out, oracle.Change{Table: table, Before: row(c.Model, c.Before), After: row(c.Model, c.After), Op: opName(c.Op)})
	}
	return out
}

func row(m *capture.Model, image []any) oracle.Row {
	if image == nil {
		return nil
	}
	out := oracle.Row{}
	for i, c := range m.Columns {
		out[c] = oracle.Word(image[i])
	}
	return out
}

// ops gives what was committed in words: "insert customers 1".
func (r *recorder) ops() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, c := range r.committed {
		image := c.After
		if image == nil {
			image = c.Before
		}
		s := fmt.Sprintf("%s %s", opName(c.Op), c.Table)
		for _, f := range c.Model.Schema.PrimaryFields {
			s += " " + oracle.Word(image[slices.Index(c.Model.Columns, f.DBName)])
		}
		if c.Note != "" {
			s += " (" + c.Note + ")"
		}
		out = append(out, s)
	}
	return out
}

func opName(op capture.Op) string {
	return [...]string{"", "insert", "update", "delete", "softdelete", "restore"}[op]
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed, r.summaries, r.items, r.skipped, r.failed = nil, nil, nil, nil, nil
	r.units, r.discarded = 0, 0
}

// database is one that calls are tried on.
type database struct {
	name string
	// dialect is the name that GORM's driver gives.
	dialect string
	open    func(t testing.TB, cfg *gorm.Config) *gorm.DB
	// asMySQL says that the engine is not to use RETURNING.
	asMySQL bool
	// generic says that the engine is to know nothing of the database; locks, that it may lock rows.
	generic, locks bool
	// short are the configurations of a short test; nil means all.
	short []int
}

// install starts capturing.
func (d database) install(t testing.TB, db *gorm.DB, h capture.Hooks, cfg capture.Config) {
	t.Helper()
	if err := capture.Install(db, h, cfg); err != nil {
		t.Fatal(err)
	}
	if d.asMySQL {
		capture.ForgetReturning(db)
	}
	if d.generic {
		capture.UseGeneric(db, d.locks, d.dialect == "sqlite")
	}
}

var databases = append([]database{
	{name: "sqlite", dialect: "sqlite", open: openSQLite},
	{name: "postgres", dialect: "postgres", open: openPostgres},
}, mysqls...)

// mysqls are MariaDB, MariaDB as if it had no RETURNING, and MySQL itself, which runs with full counts only.
var mysqls = func() []database {
	all := []database{
		{name: "mariadb", dialect: "mysql", open: openMariaDB, short: []int{0, 3}},
		{name: "without-returning", dialect: "mysql", open: openWithoutReturning, asMySQL: true, short: []int{2}},
	}
	if long() {
		all = append(all, database{name: "mysql", dialect: "mysql", open: openMySQL})
	}
	return all
}()

// opened are databases of which GORM's driver is told something else when they are opened: PostgreSQL by
// the simple protocol, in which values are part of the text, and servers that are not asked for their
// version, so that GORM knows of no RETURNING.
var opened = func() []database {
	all := []database{
		{name: "postgres-simple", dialect: "postgres", open: openPostgresSimple, short: []int{0}},
		{name: "mariadb-unasked", dialect: "mysql", open: unasked(testservers.MariaDBDatabase), short: []int{1}},
	}
	if long() {
		all = append(all, database{name: "mysql-unasked", dialect: "mysql", open: unasked(testservers.MySQLDatabase)})
	}
	return all
}()

// generics are databases of which the engine is told nothing, as if they were not tested.
var generics = []database{
	{name: "generic-sqlite", dialect: "sqlite", open: openSQLite, generic: true, short: []int{0}},
	{name: "generic-postgres", dialect: "postgres", open: openPostgres, generic: true, locks: true, short: []int{3}},
	{name: "generic-mariadb", dialect: "mysql", open: openMariaDB, generic: true, short: []int{2}},
}

func openSQLite(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	dsn := filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(0)&_pragma=foreign_keys(1)"
	return open(t, sqlite.Open(dsn), cfg)
}

func openPostgres(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, postgres.Open(testservers.PostgresSchema(t)+" synchronous_commit=off"), cfg)
}

func openMariaDB(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, mysql.Open(testservers.MariaDBDatabase(t)+"&multiStatements=true"), cfg)
}

// openPostgresSimple opens PostgreSQL by the simple protocol.
func openPostgresSimple(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, postgres.New(postgres.Config{
		DSN: testservers.PostgresSchema(t) + " synchronous_commit=off", PreferSimpleProtocol: true,
	}), cfg)
}

func openMySQL(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, mysql.Open(testservers.MySQLDatabase(t)+"&multiStatements=true"), cfg)
}

// unasked gives a function that opens a server without asking for its version.
func unasked(dsn func(testing.TB) string) func(testing.TB, *gorm.Config) *gorm.DB {
	return func(t testing.TB, cfg *gorm.Config) *gorm.DB {
		t.Helper()
		return open(t, mysql.New(mysql.Config{DSN: dsn(t) + "&multiStatements=true", SkipInitializeWithVersion: true}), cfg)
	}
}

// openWithoutReturning opens MariaDB as GORM and the engine see MySQL: without RETURNING.
func openWithoutReturning(t testing.TB, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	return open(t, mysql.New(mysql.Config{DSN: testservers.MariaDBDatabase(t) + "&multiStatements=true", DisableWithReturning: true}), cfg)
}

func open(t testing.TB, d gorm.Dialector, cfg *gorm.Config) *gorm.DB {
	t.Helper()
	c := *cfg
	c.Logger = logger.Discard
	db, err := gorm.Open(d, &c)
	if err != nil {
		t.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqlDB.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// forEach runs f on each database.
func forEach(t *testing.T, f func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			f(t, d)
		})
	}
}

// setup opens a database with the models' tables, captured.
func setup(t *testing.T, d database, cfg *gorm.Config, r *recorder, models ...any) *gorm.DB {
	t.Helper()
	db := d.open(t, cfg)
	if err := db.AutoMigrate(models...); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, models...)
	d.install(t, db, r.hooks(), capture.Config{})
	return db
}
