package cli

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestSuperStream_setupAndConsume: setup makes the super stream, a publisher spreads records over it,
// and consume reads all partitions, which it also waits for.
func TestSuperStream_setupAndConsume(t *testing.T) {
	t.Parallel()
	const partitions, n = 3, 300
	r := newRig(t)
	r.source.Partitions = partitions
	r.variables[rabbit.EnvPartitions] = fmt.Sprint(partitions)
	r.removeStreams(t)
	cmd, stderr := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream)
	await.Until(t, "it says what is missing", func() bool { return strings.Contains(stderr.String(), "auditlog setup makes it") })
	for i, want := range []string{": made, with 3 partitions", ": is there"} {
		got := execute(t.Context(), r.variables, "setup", "--dead-letters", r.dead.Stream)
		if got.code != ExitOK || !strings.Contains(got.stdout, r.source.Stream+want) {
			t.Fatalf("setup %d: %+v, want %q", i+1, got, want)
		}
	}
	p, err := rabbit.Dialer(r.source)(t.Context(), "producer")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for seq := uint64(1); seq <= n; seq++ {
		id := fmt.Sprintf("id-%06d", seq)
		payload, err := event.Encode(event.Record{
			LogID: id, Timestamp: november.Add(time.Duration(seq) * time.Millisecond), Action: event.ActionAdd,
			ObjectType: "customer", ObjectID: fmt.Sprint(seq % 30),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []stream.Message{{ID: id, Seq: seq, Payload: payload}}); err != nil {
			t.Fatal(err)
		}
	}
	await.Until(t, "all records are in the index", func() bool { return len(r.found(t)) == n })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("stopped by SIGTERM: %v\n%s", err, stderr.String())
	}
}
