package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// dlq runs a command below dlq.
func (r *rig) dlq(t *testing.T, args ...string) result {
	t.Helper()
	return execute(t.Context(), r.variables, append([]string{"dlq"}, append(args, "--dead-letters", r.dead.Stream)...)...)
}

// bury puts letters of records on the stream of dead letters, as a consumer does: those of the numbers first
// to last, refused for the reason.
func (r *rig) bury(t *testing.T, first, last int, reason string) {
	t.Helper()
	a, err := rabbit.NewAppender(r.dead)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var messages []stream.Message
	for n := first; n <= last; n++ {
		id := fmt.Sprintf("dead-%06d", n)
		data, err := event.Encode(event.Record{LogID: id, Timestamp: november.Add(time.Duration(n) * time.Millisecond), Action: event.ActionAdd, ObjectType: "customer", ObjectID: strconv.Itoa(n)})
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, stream.Message{ID: id, Payload: data, Properties: map[string]string{
			consumer.PropertyErrorType: "refused", consumer.PropertyErrorReason: reason, consumer.PropertySourceStream: r.source.Stream,
			consumer.PropertySourceOffset: strconv.Itoa(n), consumer.PropertyFirstFailed: november.Format(time.RFC3339Nano),
		}})
	}
	for part := range slices.Chunk(messages, 500) {
		if err := a.Append(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDLQ goes the whole way: a consumer puts aside what is no record, which is listed, shown, tried again,
// and dropped by somebody with a reason.
func TestDLQ(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	if got := r.dlq(t, "list"); got.code != ExitOK || got.stdout != "no letters\n" {
		t.Errorf("empty: %+v", got)
	}
	garbage := []byte("no \x1b[31m record \xff\x00")
	r.publish(t, 3, garbage)
	r.bury(t, 20, 22, "400 mapper_parsing_exception: failed to parse field [x]")
	cmd, _ := child(t, r.variables, "consume", "--dead-letters", r.dead.Stream)
	await.Until(t, "four letters are open", func() bool { return r.dlq(t, "list", "--count").stdout == "4\n" })
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed

	got := r.dlq(t, "list")
	if lines := strings.Split(got.stdout, "\n"); got.code != ExitOK || len(lines) != 6 || !strings.HasPrefix(lines[0], "NUMBER") || strings.Contains(got.stdout, "\x1b") {
		t.Errorf("list: %+v", got)
	}
	for _, w := range []string{"undecodable", "refused", r.source.Stream, "2026-11-03T04:05:06Z", "mapper_parsing_exception", "open"} {
		if !strings.Contains(got.stdout, w) {
			t.Errorf("no %s in\n%s", w, got.stdout)
		}
	}
	number := r.numberOf(t, "undecodable")
	if got := r.dlq(t, "show", number, "--raw"); got.code != ExitOK || got.stdout != string(garbage) {
		t.Errorf("raw: %q", got.stdout)
	}
	got = r.dlq(t, "show", number)
	if got.code != ExitOK || strings.ContainsAny(got.stdout, "\x1b\x00") || !strings.Contains(got.stdout, `no \x1b[31m record \xff\x00`) || !strings.Contains(got.stdout, "no record: ") {
		t.Errorf("show: %+v", got)
	}
	var shown struct {
		Payload []byte `json:"payload"`
		Offset  int64  `json:"offset"`
		Type    string `json:"type"`
	}
	if err := json.Unmarshal([]byte(r.dlq(t, "show", number, "-o", "json").stdout), &shown); err != nil || !bytes.Equal(shown.Payload, garbage) || shown.Offset != 3 || shown.Type != "undecodable" {
		t.Errorf("show as JSON: %+v %v", shown, err)
	}
	if got := r.dlq(t, "show", r.numberOf(t, "refused")); !strings.Contains(got.stdout, "record:\n{\n") || !strings.Contains(got.stdout, `"log_id": "dead-000020"`) {
		t.Errorf("show a record: %+v", got)
	}

	if got := r.dlq(t, "retry", "--all", "--by", "jane"); got.code != ExitFailed || !strings.Contains(got.stdout, "4 letters: 3 stored, 0 were stored already; still open: 1 undecodable") {
		t.Errorf("retry: %+v", got)
	}
	if ids := r.found(t); len(ids) != 6 || ids[0] != "dead-000020" {
		t.Errorf("found %v", ids)
	}
	stored, err := r.store.Get(t.Context(), "dead-000021")
	if err != nil || stored.Stream != r.source.Stream || stored.StreamOffset != 21 {
		t.Errorf("%+v %v", stored, err)
	}
	if got := r.dlq(t, "drop", number); got.code != ExitUsage || !strings.Contains(got.stderr, "--because") {
		t.Errorf("drop without a reason: %+v", got)
	}
	if got := r.dlq(t, "drop", number, "--by", "jane@ops", "--because", "a test, ticket 4711"); got.code != ExitOK || got.stdout != "1 letters were dropped by jane@ops\n" {
		t.Errorf("drop: %+v", got)
	}
	if got := r.dlq(t, "list", "--count", "-o", "json"); got.stdout != "{\"letters\":0}\n" {
		t.Errorf("count: %+v", got)
	}
	got = r.dlq(t, "list", "--handled")
	if !strings.Contains(got.stdout, "by jane@ops: a test, ticket 4711") || strings.Count(got.stdout, "stored ") != 3 {
		t.Errorf("handled:\n%s", got.stdout)
	}
	if got := r.dlq(t, "retry", number); got.code != ExitOK || got.stdout != "no open letter is one of these\n" {
		t.Errorf("retry of a dropped one: %+v", got)
	}
	if got := r.dlq(t, "show", "999999"); got.code != ExitFailed || !strings.Contains(got.stderr, "no such letter: 999999") {
		t.Errorf("unknown number: %+v", got)
	}
}

// numberOf gives the number of the first open letter of the type.
func (r *rig) numberOf(t *testing.T, kind string) string {
	t.Helper()
	var l struct {
		Number int64 `json:"number"`
	}
	got := r.dlq(t, "list", "-o", "json", "--type", kind)
	if err := json.NewDecoder(strings.NewReader(got.stdout)).Decode(&l); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	return strconv.FormatInt(l.Number, 10)
}

func TestDLQ_byReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	r.bury(t, 1, 2, "400 mapper_parsing_exception")
	r.bury(t, 3, 5, "document is too large")
	if got := r.dlq(t, "retry", "--reason", "Too Large"); got.code != ExitOK || !strings.Contains(got.stdout, "3 letters: 3 stored") {
		t.Errorf("%+v", got)
	}
	if ids := r.found(t); len(ids) != 3 || ids[0] != "dead-000003" {
		t.Errorf("found %v", ids)
	}
	if got := r.dlq(t, "drop", "--type", "refused", "--because", "x"); got.code != ExitOK || !strings.Contains(got.stdout, "2 letters were dropped by ") {
		t.Errorf("%+v", got)
	}
}

// TestDLQ_retryKilled kills the program while it stores letters, again and again: in the end each record is
// stored once and no letter is open.
func TestDLQ_retryKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.dead, rabbit.Limits{})
	const n = 3000
	r.bury(t, 1, n, "mapping")
	kills := 0
	for _, at := range []int{1, 1200} {
		cmd, _ := child(t, r.variables, "dlq", "retry", "--all", "--dead-letters", r.dead.Stream)
		await.Until(t, "some more are stored", func() bool { return len(r.found(t)) >= at })
		_ = cmd.Process.Kill()
		if killed(cmd.Wait()) {
			kills++
		}
	}
	got := r.dlq(t, "retry", "--all")
	if got.code != ExitOK {
		t.Errorf("the last one: %+v", got)
	}
	if ids := r.found(t); len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("%d records, want %d", len(ids), n)
	}
	if got := r.dlq(t, "list", "--count"); got.stdout != "0\n" {
		t.Errorf("open: %+v", got)
	}
	if got := r.dlq(t, "list", "--handled", "--count"); got.stdout != strconv.Itoa(n)+"\n" {
		t.Errorf("handled: %+v", got)
	}
	t.Logf("killed %d times", kills)
}

// killed reports whether err is that of a process that was killed.
func killed(err error) bool {
	exit, ok := err.(*exec.ExitError) //nolint:errorlint // as Wait gives it
	return ok && !exit.Exited()
}

func TestDLQ_wrongUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"dlq", "lst"}, `no command "lst"`},
		{[]string{"dlq", "list", "--type", "bad", "-o", "xml"}, `--type is "bad", want undecodable, refused or conflict`},
		{[]string{"dlq", "list", "--type", "bad", "-o", "xml"}, `--output is "xml", want table or json`},
		{[]string{"dlq", "list", "--dead-letters="}, `--dead-letters is ""`},
		{[]string{"dlq", "show"}, "takes the number of one letter"},
		{[]string{"dlq", "show", "x"}, `the number of a letter is "x"`},
		{[]string{"dlq", "retry"}, "which letters?"},
		{[]string{"dlq", "retry", "1", "--all"}, "exclude each other"},
		{[]string{"dlq", "drop", "-1x", "--because", "y"}, "unknown shorthand flag"},
		{[]string{"dlq", "drop", "1"}, `--because is ""`},
		{[]string{"replay", "--from", "x", "--to", "y", "--batch-size=0"}, `--from is "x", want an offset, a time`},
		{[]string{"replay", "--from", "x", "--to", "y", "--batch-size=0"}, `--to is "y"`},
		{[]string{"replay", "--from", "x", "--to", "y", "--batch-size=0"}, "--batch-size is 0"},
		{[]string{"replay", "--from", "7", "--to", "6"}, `--to is "6", which is before --from, "7"`},
		{[]string{"replay", "--from", "2026-11-02", "--to", "2026-11-02"}, "which is before --from"},
		{[]string{"replay", "--index-prefix", "Bad"}, "want lower case"},
		{[]string{"replay", "now"}, "takes no argument"},
	} {
		if got := execute(t.Context(), nil, c.args...); got.code != ExitUsage || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%v: no %s in %+v", c.args, c.want, got)
		}
	}
	partitions := map[string]string{"RABBITMQ_STREAM_PARTITIONS": "3"}
	if got := execute(t.Context(), partitions, "replay", "--from", "7"); got.code != ExitUsage || !strings.Contains(got.stderr, "want times") {
		t.Errorf("offsets of a super stream: %+v", got)
	}
}
