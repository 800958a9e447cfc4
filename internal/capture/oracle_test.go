package capture_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/internal/testservers"
)

// observed is what the caller sees of a call.
type observed struct {
	seen []string
}

// see notes what GORM gave back, and what it did to the values that it was given.
func (o *observed) see(tx *gorm.DB, dest ...any) {
	s := fmt.Sprintf("rows %d, error %v", tx.RowsAffected, tx.Error)
	s = schemaName.ReplaceAllString(s, "t_")
	for _, d := range dest {
		data, err := json.Marshal(d)
		s += fmt.Sprintf("\n  %s %v", data, err)
	}
	o.seen = append(o.seen, s)
}

// inOrder are rows that a statement returned. SQL does not say in which order it returns them, and
// PostgreSQL joins with the before images as it sees fit.
type inOrder struct{ rows *[]Customer }

func byID(rows *[]Customer) inOrder { return inOrder{rows} }

// MarshalJSON gives the rows as they are when the call has returned, in the order of their ids.
func (o inOrder) MarshalJSON() ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(*o.rows), func(a, b Customer) int { return int(a.ID) - int(b.ID) })
	return json.Marshal(sorted)
}

func (o *observed) err(err error, dest ...any) {
	o.see(&gorm.DB{Error: err}, dest...)
}

// schemaName is in errors of MariaDB, and differs from run to run.
var schemaName = regexp.MustCompile(`t_[0-9a-f]+`)

type call struct {
	name string
	run  func(db *gorm.DB, o *observed)
	// only names the database that has this call; empty means each.
	only string
	// uncaptured says that the call changes rows that cannot be captured.
	uncaptured bool
}

type configuration struct {
	name          string
	prepare, skip bool
	inTx          bool // the sink with which a short test runs it
}

var configurations = []configuration{
	{"default", false, false, false},
	{"prepared", true, false, true},
	{"skip", false, true, true},
	{"prepared+skip", true, true, false},
}

// runs is one database on which all calls are run, one after the other.
type runs struct {
	db    *gorm.DB
	sql   *sql.DB
	clock int
	r     *recorder
	start oracle.Snapshot // after each reset
	dirty bool            // the tables are not as in start
	vague bool            // the database is not tested: changes may be counted as not captured
	seen  int             // calls that changed something, and
	found int             // those whose changes were captured exactly
}

func newRuns(t *testing.T, d database, c configuration, capturing, inTx bool) *runs {
	t.Helper()
	s := &runs{r: &recorder{inTx: inTx}, dirty: true, vague: d.generic}
	s.db = d.open(t, &gorm.Config{
		PrepareStmt: c.prepare, SkipDefaultTransaction: c.skip,
		NowFunc: func() time.Time {
			s.clock++
			return time.Date(2026, 2, 3, 4, 5, s.clock, 123456000, time.UTC)
		},
	})
	if err := s.db.AutoMigrate(allModels...); err != nil {
		t.Fatal(err)
	}
	if d.dialect == "postgres" {
		s.db.Exec("ALTER TABLE profiles ALTER CONSTRAINT fk_customers_profile DEFERRABLE INITIALLY DEFERRED")
	}
	s.r.register(t, s.db, allModels...)
	if capturing {
		d.install(t, s.db, s.r.hooks(), capture.Config{})
	}
	var err error
	if s.sql, err = s.db.DB(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *runs) exec(t *testing.T, query string) {
	t.Helper()
	if _, err := s.sql.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%v: %s", err, query)
	}
}

// reset brings the tables back to the seed, in one exchange with the server.
func (s *runs) reset(t *testing.T) {
	t.Helper()
	var queries []string
	if s.dirty {
		queries = append(queries, "UPDATE members SET boss_id = NULL", "DELETE FROM label_members", "DELETE FROM customer_tags", "DELETE FROM orders", "DELETE FROM profiles", "DELETE FROM customers")
		for _, table := range allTables {
			queries = append(queries, "DELETE FROM "+table.Name)
		}
		for _, q := range seed {
			if s.db.Dialector.Name() == "mysql" && !strings.Contains(q, `{"`) {
				q = strings.ReplaceAll(q, `"`, "`")
			}
			queries = append(queries, q)
		}
	}
	if s.db.Dialector.Name() == "postgres" {
		for _, table := range allTables {
			if len(table.Keys) == 1 && table.Name != "docs" && table.Name != "assets" {
				queries = append(queries, fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', 'id'), 100, false)", table.Name))
			}
		}
	}
	if len(queries) > 0 {
		s.exec(t, "BEGIN; "+strings.Join(queries, "; ")+"; COMMIT")
	}
	s.clock = 0
	s.r.reset()
}

// do runs a call and gives what the caller saw, and the tables before and after.
func (s *runs) do(t *testing.T, c call) (seen []string, before, after oracle.Snapshot) {
	t.Helper()
	s.reset(t)
	if s.start == nil {
		s.start = s.take(t)
	}
	o := &observed{}
	func() {
		defer func() {
			if p := recover(); p != nil {
				o.seen = append(o.seen, fmt.Sprint("panic: ", p))
			}
		}()
		c.run(s.db.WithContext(t.Context()), o)
	}()
	after = s.take(t)
	s.dirty = !cmp.Equal(s.start, after)
	return o.seen, s.start, after
}

func (s *runs) take(t *testing.T) oracle.Snapshot {
	t.Helper()
	snap, err := oracle.Take(context.WithoutCancel(t.Context()), s.sql, allTables...)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// TestOracle_eachCall_isCapturedExactly runs each call without and with capture: the caller sees the
// same, the tables end the same, and the changes lead from the tables before to those after.
func TestOracle_eachCall_isCapturedExactly(t *testing.T) {
	t.Parallel()
	for _, d := range slices.Concat(databases, opened, generics) {
		for i, c := range configurations {
			if d.short != nil && !slices.Contains(d.short, i) && !long() {
				continue
			}
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				plain := newRuns(t, d, c, false, false)
				captured := map[string]*runs{}
				if c.inTx || long() {
					captured["in transaction"] = newRuns(t, d, c, true, true)
				}
				if !c.inTx || long() {
					captured["after commit"] = newRuns(t, d, c, true, false)
				}
				for _, call := range allCalls() {
					if call.only != "" && call.only != d.dialect {
						continue
					}
					t.Run(call.name, func(t *testing.T) { //nolint:paralleltest // one database
						seen, before, after := plain.do(t, call)
						for name, s := range captured {
							t.Run(name, func(t *testing.T) { compare(t, s, call, seen, before, after) }) //nolint:paralleltest // one database
						}
					})
				}
				for name, s := range captured {
					if s.vague {
						t.Logf("%s: of %d calls %d are captured exactly", name, s.seen, s.found)
						if s.seen > 100 && s.found < 60 {
							t.Errorf("only %d calls are captured", s.found)
						}
					}
				}
			})
		}
	}
}

func allCalls() []call {
	return slices.Concat(calls, writeCalls, upsertCalls, relationCalls, ownerCalls, tableCalls, txCalls, endCalls, hostileCalls)
}

// long reports whether every configuration is run with every kind of sink.
func long() bool { return testservers.Long() }

func compare(t *testing.T, s *runs, c call, seen []string, before, after oracle.Snapshot) {
	t.Helper()
	got, gotBefore, gotAfter := s.do(t, c)
	if diff := cmp.Diff(seen, got); diff != "" {
		t.Errorf("the caller sees something else (-without +with):\n%s", diff)
	}
	if diff := cmp.Diff(before, gotBefore); diff != "" {
		t.Fatalf("different start:\n%s", diff)
	}
	if diff := cmp.Diff(after, gotAfter); diff != "" {
		t.Errorf("the tables end differently (-without +with):\n%s", diff)
	}
	if s.vague {
		s.seen++
		if len(s.r.skipped) > 0 {
			return
		}
		if len(s.r.changes()) > 0 {
			s.found++
		}
	}
	changes := s.r.changes()
	replayed, wrong := gotBefore.Replay(changes, allTables...)
	if len(wrong) > 0 {
		t.Errorf("wrong changes:\n%s\nall: %v", strings.Join(wrong, "\n"), s.r.ops())
	}
	if diff := cmp.Diff(gotAfter, replayed); diff != "" && !c.uncaptured {
		t.Errorf("the changes do not lead to the tables (-tables +changes):\n%s\nall: %v", diff, s.r.ops())
	}
	if len(s.r.failed) > 0 {
		t.Errorf("failed: %v", s.r.failed)
	}
	if len(s.r.skipped) > 0 != c.uncaptured {
		t.Errorf("skipped: %v", s.r.skipped)
	}
	for _, o := range s.r.ops() {
		if strings.Contains(o, "(") && !strings.Contains(o, capture.NoteUnpaired) && !(s.vague && strings.Contains(o, capture.NoteUnlocked)) {
			t.Errorf("not certain: %s", o)
		}
	}
}
