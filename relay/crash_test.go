package relay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream/rabbit"
)

// crashApp builds the application that is killed.
func crashApp(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "crashapp")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoint", "-o", program, "../internal/crashapp").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// fates are what became of the writes of an application that is killed again and again.
type fates struct {
	committed, rolledBack map[int64]bool
	open                  map[int64]failpoint.Point // begun when it was killed there
}

// victim is an application that is killed: what it is given, and what becomes of its writes.
type victim struct {
	program  string
	folder   string
	stream   rabbit.Config
	queue    string // spool or outbox
	database string // as CRASHAPP_DATABASE
	dial     gorm.Dialector
	fates
}

// newVictim gives an application with its spool, and SQLite.
func newVictim(t *testing.T, program string) *victim {
	t.Helper()
	folder := t.TempDir()
	return &victim{
		program: program, folder: folder, stream: rabbittest.Stream(t), queue: "spool",
		dial:  sqlite.Open("file:" + filepath.Join(folder, "app.db")),
		fates: fates{make(map[int64]bool), make(map[int64]bool), make(map[int64]failpoint.Point)},
	}
}

// TestKilledApplication kills an application at each place that a record passes, again and again, and
// compares what is on the stream with what the application had said and what is in its database.
func TestKilledApplication(t *testing.T) {
	t.Parallel()
	program := crashApp(t)
	for _, point := range []failpoint.Point{
		failpoint.CommitBefore, failpoint.CommitAfter,
		failpoint.EmitEnqueued, failpoint.EmitWritten, failpoint.EmitSynced, failpoint.EmitReturned,
		failpoint.RelayClaimed, failpoint.PubSent, failpoint.PubConfirmed, failpoint.SpoolAcked, failpoint.SpoolSegmentDeleted,
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			newVictim(t, program).killed(t, point, count(2, 20), 17)
		})
	}
}

// TestKilledApplication_outbox does the same with an outbox, which has no window: what is committed has its
// records, whenever the application is killed.
func TestKilledApplication_outbox(t *testing.T) {
	t.Parallel()
	program := crashApp(t)
	databases := []struct {
		name   string
		choose func(t *testing.T, v *victim)
	}{
		{"sqlite", func(*testing.T, *victim) {}},
		{"postgres", func(t *testing.T, v *victim) {
			dsn := testservers.PostgresSchema(t)
			v.database, v.dial = "postgres "+dsn, postgres.Open(dsn)
		}},
		{"mariadb", func(t *testing.T, v *victim) {
			dsn := testservers.MariaDBDatabase(t)
			v.database, v.dial = "mysql "+dsn, mysql.Open(dsn)
		}},
	}
	for _, point := range []failpoint.Point{
		failpoint.OutboxInserted, failpoint.CommitBefore, failpoint.CommitAfter,
		failpoint.RelaySeqAssigned, failpoint.RelayClaimed, failpoint.PubSent, failpoint.PubConfirmed,
		failpoint.SpoolAcked, failpoint.OutboxSaved, failpoint.SpoolSegmentDeleted,
	} {
		for _, d := range databases {
			t.Run(string(point)+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				v := newVictim(t, program)
				v.queue = "outbox"
				d.choose(t, v)
				hits := 17
				if point == failpoint.OutboxSaved || point == failpoint.SpoolSegmentDeleted {
					hits = 2 // once a second
				}
				v.killed(t, point, count(1, 10), hits)
			})
		}
	}
}

// killed kills the application at that point, so often, at different hits up to that number, lets it end,
// and looks.
func (v *victim) killed(t *testing.T, point failpoint.Point, kills, hits int) {
	t.Helper()
	const enough = 100_000 // writes: a queue removes what it has sent once a second
	for round := range kills {
		hit := 1 + (round*5+2)%hits
		if !v.run(t, fmt.Sprintf("%s:%d=kill", point, hit), enough) {
			t.Fatalf("the application was not killed at %s, hit %d", point, hit)
		}
	}
	if v.run(t, "", 20) {
		t.Fatal("the last run was killed")
	}
	v.check(t)
}

// run runs the application to its end, and reports whether it was killed.
func (v *victim) run(t *testing.T, env string, writes int) (killed bool) {
	t.Helper()
	f := &v.fates
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	app := exec.CommandContext(ctx, v.program, v.folder, strconv.Itoa(writes))
	app.Env = append(os.Environ(), failpoint.Env+"="+env, "CRASHAPP_STREAM="+v.stream.Stream, "CRASHAPP_QUEUE="+v.queue, "CRASHAPP_DATABASE="+v.database)
	var said strings.Builder
	app.Stderr = &said
	out, err := app.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	point, _, _ := strings.Cut(env, ":")
	var begun int64
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id int64
		word, number, _ := strings.Cut(lines.Text(), " ")
		if _, err := fmt.Sscan(number, &id); err != nil {
			t.Fatalf("the application says %q", lines.Text())
		}
		switch word {
		case "begin":
			begun = id
			f.open[id] = failpoint.Point(point)
			delete(f.rolledBack, id)
		case "commit":
			f.committed[id] = true
			delete(f.open, id)
		case "rollback":
			f.rolledBack[id] = true
			delete(f.open, id)
		case "end":
			if id != 0 {
				t.Errorf("%d records pending at the end", id)
			}
		}
	}
	err = app.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		if ok && status.Signaled() && status.Signal() == syscall.SIGKILL && ctx.Err() == nil {
			return true
		}
	}
	if err != nil {
		t.Fatalf("the application ended at write %d: %v\n%s", begun, err, said.String())
	}
	return false
}

// check compares the stream with the fates and the database.
func (v *victim) check(t *testing.T) {
	t.Helper()
	f := &v.fates
	things, last := v.things(t)
	recorded := make(map[int64]bool)
	ids := make(map[string]bool)
	var seq uint64
	var counted int64
	holes := 0
	for _, m := range readStream(t, v.stream, 0) {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if ids[r.LogID] {
			t.Errorf("record %s is on the stream twice", r.LogID)
		}
		ids[r.LogID] = true
		if r.Seq <= seq {
			t.Errorf("sequence %d after %d", r.Seq, seq)
		}
		seq = r.Seq
		switch r.ObjectType {
		case "thing":
			id, err := strconv.ParseInt(r.ObjectID, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if recorded[id] {
				t.Errorf("thing %d was recorded twice", id)
			}
			recorded[id] = true
			if !things[id] || f.rolledBack[id] {
				t.Errorf("thing %d was recorded, and is not in the database (rolled back: %t)", id, f.rolledBack[id])
			}
		case "counter":
			from, to := counterChange(t, r)
			if from < counted {
				t.Errorf("the counter went from %d to %d when it was %d already", from, to, counted)
			}
			if from > counted {
				holes++
			}
			counted = to
		default:
			t.Errorf("a record of %s", r.ObjectType)
		}
	}
	for id := range f.committed {
		if !recorded[id] {
			t.Errorf("thing %d is lost, whose write had returned success", id)
		}
	}
	missing := 0
	for id, point := range f.open {
		switch {
		case recorded[id] || !things[id]:
		case v.queue == "outbox":
			t.Errorf("thing %d is lost: it is committed, and with it were its records", id)
		case slices.Contains([]failpoint.Point{failpoint.EmitSynced, failpoint.EmitReturned}, point):
			t.Errorf("thing %d is lost: its records were synced when the application was killed", id)
		default: // the window between COMMIT and the sync of the spool
			missing++
		}
	}
	if counted != last && missing == 0 || holes > missing {
		t.Errorf("the counter's records end at %d of %d and have %d holes; %d writes were cut off by a kill", counted, last, holes, missing)
	}
	t.Logf("%d writes returned success, %d rolled back, %d were cut off by a kill, of which %d are committed and have no record; %d records on the stream",
		len(f.committed), len(f.rolledBack), len(f.open), missing, len(ids))
}

// things gives the ids in the database, and the counter.
func (v *victim) things(t *testing.T) (ids map[int64]bool, counter int64) {
	t.Helper()
	db, err := gorm.Open(v.dial, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := db.DB(); err == nil {
		defer raw.Close()
	}
	var all []int64
	if err := db.Table("things").Pluck("id", &all).Error; err != nil {
		t.Fatal(err)
	}
	ids = make(map[int64]bool)
	for _, id := range all {
		ids[id] = true
	}
	if err := db.Table("counters").Select("n").Row().Scan(&counter); err != nil {
		t.Fatal(err)
	}
	return ids, counter
}

// counterChange gives the old and the new value of the counter; the old one of the first is 0.
func counterChange(t *testing.T, r event.Record) (from, to int64) {
	t.Helper()
	for _, c := range r.Changes {
		if c.Field != "n" {
			continue
		}
		if len(c.Old) > 0 {
			if err := json.Unmarshal(c.Old, &from); err != nil {
				t.Fatal(err)
			}
		}
		if err := json.Unmarshal(c.New, &to); err != nil {
			t.Fatal(err)
		}
	}
	return from, to
}
