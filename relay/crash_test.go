package relay_test

import (
	"bufio"
	"context"
	"database/sql"
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

	_ "github.com/glebarez/sqlite" // registers the driver "sqlite"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/rabbittest"
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

// TestKilledApplication kills an application at each place that a record passes, again and again, and
// compares what is on the stream with what the application had said and what is in its database.
func TestKilledApplication(t *testing.T) {
	t.Parallel()
	program := crashApp(t)
	kills := count(2, 20)
	const enough = 100_000 // writes: the spool removes segments once a second
	for _, point := range []failpoint.Point{
		failpoint.CommitBefore, failpoint.CommitAfter,
		failpoint.EmitEnqueued, failpoint.EmitWritten, failpoint.EmitSynced, failpoint.EmitReturned,
		failpoint.RelayClaimed, failpoint.PubSent, failpoint.PubConfirmed, failpoint.SpoolAcked, failpoint.SpoolSegmentDeleted,
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			config := rabbittest.Stream(t)
			folder := t.TempDir()
			f := fates{make(map[int64]bool), make(map[int64]bool), make(map[int64]failpoint.Point)}
			for round := range kills {
				hit := 1 + round*5%17
				if !f.run(t, program, folder, config, fmt.Sprintf("%s:%d=kill", point, hit), enough) {
					t.Fatalf("the application was not killed at %s, hit %d", point, hit)
				}
			}
			if f.run(t, program, folder, config, "", 20) {
				t.Fatal("the last run was killed")
			}
			f.check(t, filepath.Join(folder, "app.db"), config)
		})
	}
}

// run runs the application to its end, and reports whether it was killed.
func (f *fates) run(t *testing.T, program, folder string, config rabbit.Config, env string, writes int) (killed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	app := exec.CommandContext(ctx, program, folder, strconv.Itoa(writes))
	app.Env = append(os.Environ(), failpoint.Env+"="+env, "CRASHAPP_STREAM="+config.Stream)
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
func (f *fates) check(t *testing.T, file string, config rabbit.Config) {
	t.Helper()
	things, last := f.things(t, file)
	recorded := make(map[int64]bool)
	ids := make(map[string]bool)
	var seq uint64
	var counted int64
	holes := 0
	for _, m := range readStream(t, config, 0) {
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
func (f *fates) things(t *testing.T, file string) (ids map[int64]bool, counter int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM things")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	ids = make(map[int64]bool)
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT n FROM counters").Scan(&counter); err != nil {
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
