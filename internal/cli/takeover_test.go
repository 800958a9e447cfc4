package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestConsume_activeKilled_standbyTakesOver: two consumers of a group, two processes; the active one is
// killed in the middle of a bulk. Nothing is missing, nothing is there twice.
func TestConsume_activeKilled_standbyTakesOver(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{0, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			const n = 600
			r := newRig(t)
			r.source.Partitions = partitions
			if partitions > 0 {
				r.variables[rabbit.EnvPartitions] = fmt.Sprint(partitions)
			}
			rabbittest.Declare(t, r.dead, rabbit.Limits{})
			rabbittest.Declare(t, r.source, rabbit.Limits{})
			g := r.through(t)
			streams := max(partitions, 1)
			consume := func(name string) (*exec.Cmd, *logbuffer.Buffer) {
				cmd, stderr := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream, "--consumer-name", name, "--batch-size", "20", "--watermarks=false")
				await.Until(t, name+" reads", func() bool { return strings.Count(stderr.String(), "reads the stream") == streams })
				return cmd, stderr
			}
			first, _ := consume("first")
			r.spread(t, 0, n/2)
			await.Until(t, "the first are in the index", func() bool { return len(r.found(t)) == n/2 })
			second, stderr := consume("second")
			g.pass(1, true)
			r.spread(t, n/2, n)
			g.waitHeld(t) // by the first one
			kill(t, first)
			at := time.Now()
			g.pass(0, true)
			g.waitHeld(t) // by the second one
			took := time.Since(at)
			g.pass(-1, false)
			await.Until(t, "all are in the index", func() bool { return len(r.found(t)) >= n })
			terminate(t, second)
			ids := r.found(t)
			for i, id := range ids {
				if id != fmt.Sprintf("id-%06d", i) {
					t.Fatalf("record %d of %d is %s", i, len(ids), id)
				}
			}
			if len(ids) != n {
				t.Errorf("found %d records, want %d", len(ids), n)
			}
			if log := stderr.String(); strings.Count(log, "consumer has stopped") != streams {
				t.Errorf("the second one says:\n%s", log)
			}
			t.Logf("%d partitions: from the kill to the first bulk of the other one %v", partitions, took)
		})
	}
}

// spread publishes records by their objects, over the partitions if there are any.
func (r *rig) spread(t *testing.T, from, to int) {
	t.Helper()
	p, err := rabbit.Dialer(r.source)(t.Context(), "producer")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for n := from; n < to; n++ {
		id := fmt.Sprintf("id-%06d", n)
		payload, err := event.Encode(event.Record{
			LogID: id, Timestamp: november.Add(time.Duration(n) * time.Millisecond), Action: event.ActionAdd,
			ObjectType: "customer", ObjectID: fmt.Sprint(n % 30),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []stream.Message{{ID: id, Seq: uint64(n + 1), Payload: payload}}); err != nil {
			t.Fatal(err)
		}
	}
	for confirmed := uint64(0); confirmed < uint64(to); {
		select {
		case confirmed = <-p.Confirmed():
		case <-p.Done():
			t.Fatal(p.Err())
		}
	}
}

// TestConsume_killedAtEachStep: the process ends itself at each place that a record passes. No offset is
// ahead of what is in the index or in the dead letters, and in the end each record is there once.
func TestConsume_killedAtEachStep(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "auditlog")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoint", "-o", program, "../../cmd/auditlog").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	rabbittest.Declare(t, rabbit.WatermarksOf(r.source), rabbit.Limits{})
	const each = 60
	records, others, published := []int64(nil), []int64(nil), 0
	publish := func() {
		r.publishFrom(t, len(records), each)
		records, others = offsets(t, r.source, published+each+1)
		published += each + 1
	}
	start := func(env string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, "--env-file=", "consume", "--dead-letters", r.dead.Stream, "--batch-size", "10")
		cmd.Env = append(os.Environ(), failpoint.Env+"="+env)
		for name, value := range r.variables {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stderr = &logbuffer.Buffer{}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	for _, c := range []struct {
		point failpoint.Point
		hits  []int
	}{
		{failpoint.ConsReceived, []int{1, 4}},
		{failpoint.BulkSent, []int{1, 4}},
		{failpoint.BulkAcked, []int{1, 4}},
		{failpoint.DLQWritten, []int{1}},
		{failpoint.OffsetStored, []int{1}},
		{failpoint.WatermarkPublished, []int{1}},
	} {
		for _, hit := range c.hits {
			publish()
			cmd := start(fmt.Sprintf("%s:%d=kill", c.point, hit))
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			if c.point == failpoint.WatermarkPublished { // at the latest when it stops
				await.Until(t, "all are in the index", func() bool { return len(ended) > 0 || r.count(t, 1<<40) == len(records) })
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
			err := <-ended
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
				t.Fatalf("%s, hit %d: %v\n%v", c.point, hit, err, cmd.Stderr)
			}
			r.neverAhead(t, records)
			r.lettersNotBehind(t, others)
		}
	}
	cmd := start("")
	await.Until(t, "it reads", func() bool { return strings.Contains(cmd.Stderr.(*logbuffer.Buffer).String(), "reads the stream") })
	await.Until(t, "all are in the index", func() bool { return r.count(t, 1<<40) >= len(records) })
	terminate(t, cmd)
	ids := r.found(t)
	for i, id := range ids {
		if id != fmt.Sprintf("id-%06d", i) {
			t.Fatalf("record %d of %d is %s", i, len(ids), id)
		}
	}
	if len(ids) != len(records) {
		t.Errorf("found %d records, want %d", len(ids), len(records))
	}
	r.lettersNotBehind(t, others)
	if known := r.known(t); known["checkpoint"] < records[len(records)-1] || known["committed"] < known["checkpoint"] {
		t.Errorf("in the end %v, want %d", known, records[len(records)-1])
	}
}

// publishFrom puts records on the stream, numbered from one on, and something that is none in their middle.
func (r *rig) publishFrom(t *testing.T, from, count int) {
	t.Helper()
	var first, second []stream.Message
	for n := from; n < from+count; n++ {
		id := fmt.Sprintf("id-%06d", n)
		data, err := event.Encode(event.Record{
			LogID: id, Timestamp: november.Add(time.Duration(n) * time.Millisecond), Action: event.ActionAdd, ObjectType: "customer", ObjectID: id,
		})
		if err != nil {
			t.Fatal(err)
		}
		if m := (stream.Message{ID: id, Payload: data}); n < from+count/2 {
			first = append(first, m)
		} else {
			second = append(second, m)
		}
	}
	a, err := rabbit.NewAppender(r.source)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Append(t.Context(), append(append(first, stream.Message{ID: "none", Payload: []byte("garbage")}), second...)...); err != nil {
		t.Fatal(err)
	}
}

// lettersNotBehind looks whether each message that is no record is in the dead letters, if an offset has
// passed it.
func (r *rig) lettersNotBehind(t *testing.T, others []int64) {
	t.Helper()
	known := r.known(t)
	buried := make(map[string]bool)
	for _, m := range rabbittest.Messages(t, r.dead) {
		buried[m.Properties[consumer.PropertySourceOffset]] = true
	}
	for name, offset := range known {
		for _, at := range others {
			if at <= offset && !buried[fmt.Sprint(at)] {
				t.Errorf("%s is %d, but the message at %d is not in the dead letters", name, offset, at)
			}
		}
	}
}

// TestConsume_ofAnAccountThatMayOnlyRead: the stream was made by somebody else. The account may declare nothing
// and write only dead letters and watermarks; the next life begins where the first has ended.
func TestConsume_ofAnAccountThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.declare(t)
	variables, _ := r.account(t, r.shipped(t, "audit-consumer"))
	const n = 50
	for life := range 2 {
		r.publishFrom(t, life*n, n)
		cmd, stderr := child(t, variables, "consume", "--dead-letters", r.dead.Stream)
		await.Until(t, "all are in the index", func() bool { return r.count(t, 1<<40) == (life+1)*n })
		terminate(t, cmd)
		if log := stderr.String(); !strings.Contains(log, "received=51 stored=50 duplicates=0 dead_lettered=1") || strings.Count(log, "the stream has one replica") != 1 {
			t.Errorf("life %d:\n%s", life, log)
		}
	}
	if known := r.known(t); len(known) != 2 {
		t.Errorf("known offsets: %v, want both", known)
	}
}
