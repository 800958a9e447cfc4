package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/failpoint"
)

// Life is the life of a process that is killed or whose calls fail: it writes, sends to a file that
// stands for the stream and is synced before it acknowledges, and lets segments go. It prints the id of each
// record whose Write has returned.
func Life(dir string) {
	config := testConfig()
	config.SegmentBytes, config.Retention, config.CommitTimeout = minSegment, -1, time.Minute
	s, err := Open(filepath.Join(dir, "spool"), config)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	stream, err := os.OpenFile(filepath.Join(dir, "stream"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only what need not be waited for
	for i := 1; i <= 40; i++ {
		list := padded(i, 400)
		list[0].LogID = os.Getenv("SPOOL_TEST_ROUND") + "-" + strconv.Itoa(i)
		if err := s.Write(context.Background(), list); err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("written", list[0].LogID)
		if i%4 > 0 {
			continue
		}
		messages, err := s.Read(ctx, s.Acknowledged(), 100)
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		for _, m := range messages {
			if _, err = fmt.Fprintln(stream, m.Seq, m.ID); err != nil {
				break
			}
		}
		if err == nil {
			err = stream.Sync()
		}
		if err == nil {
			err = s.Acknowledge(ctx, messages[len(messages)-1].Seq)
		}
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		s.MarkIndexed(messages[len(messages)-1].Seq)
	}
	if err := s.Close(); err != nil {
		fmt.Println("error", err)
	}
}

// runLife runs two lives with the command, the first one with what goes wrong, and checks that everything
// that was promised is on the stream or in the spool, under a sequence of its own.
func runLife(t *testing.T, what string, env []string, command ...string) {
	t.Helper()
	dir := t.TempDir()
	promised := make(map[string]bool)
	for round, command := range [][]string{command, {os.Args[0]}} {
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "SPOOL_TEST_LIFE="+dir, "SPOOL_TEST_ROUND="+strconv.Itoa(round), "GOMAXPROCS=1")
		if round == 0 {
			cmd.Env = append(cmd.Env, env...)
		}
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if round == 0 && env != nil && (exit == nil || exit.ExitCode() != -1) {
			t.Fatalf("%s: the process was not killed: %v", what, err)
		}
		if exit != nil && strings.Contains(string(exit.Stderr), "panic") {
			t.Fatalf("%s: %s", what, exit.Stderr)
		}
		for line := range strings.Lines(string(out)) {
			if word, id, _ := strings.Cut(strings.TrimSpace(line), " "); word == "written" {
				promised[id] = true
			}
		}
	}
	if len(promised) < 40 {
		t.Fatalf("%s: only %d records were promised: nothing was tested", what, len(promised))
	}
	there := make(map[string]uint64)
	taken := make(map[uint64]string)
	take := func(seq uint64, id string) {
		if other, ok := taken[seq]; ok && other != id {
			t.Fatalf("%s: sequence %d is of %s and of %s", what, seq, other, id)
		}
		taken[seq], there[id] = id, seq
	}
	stream, err := os.Open(filepath.Join(dir, "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		number, id, _ := strings.Cut(lines.Text(), " ")
		seq, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		take(seq, id)
	}
	s := openOn(t, osFS{}, filepath.Join(dir, "spool"), testConfig())
	for _, m := range drainAll(t, s) {
		take(m.Seq, m.ID)
	}
	for id := range promised {
		if there[id] == 0 {
			t.Fatalf("%s: record %s, whose Write had returned, is gone", what, id)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAtEachPoint: fault row 17 for the spool's own points. The child is built with the failpoints.
func TestKilledAtEachPoint(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "spool.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "failpoint", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kills := 3
	if long() {
		kills = 20
	}
	for _, point := range []failpoint.Point{failpoint.EmitEnqueued, failpoint.EmitWritten, failpoint.EmitSynced, failpoint.EmitReturned, failpoint.SpoolAcked, failpoint.SpoolSegmentDeleted} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			for n := range kills {
				at := 1 + n*7%19
				if point == failpoint.SpoolAcked || point == failpoint.SpoolSegmentDeleted {
					at = 1 + n%5
				}
				rule := fmt.Sprintf("%s:%d=kill", point, at)
				runLife(t, rule, []string{failpoint.Env + "=" + rule}, binary)
			}
		})
	}
}
