//go:build failpoint

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain is also the child that the tests kill.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		for range 3 {
			os.Stdout.WriteString("before;")
			Hit(PubSent)
			if err := Err(SpoolAcked); err != nil {
				os.Stdout.WriteString("error;")
			}
		}
		os.Stdout.WriteString("end")
		return
	}
	os.Exit(m.Run())
}

func TestHit_inAChild(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env, out string
		killed   bool
		exit     int
	}{
		"nothing":          {"", "before;before;before;end", false, 0},
		"another point":    {"bulk.sent=kill", "before;before;before;end", false, 0},
		"killed at once":   {"pub.sent=kill", "before;", true, 0},
		"killed the third": {"pub.sent:3=kill", "before;before;before;", true, 0},
		"an error once":    {"spool.acked:2=error", "before;before;error;before;end", false, 0},
		"always an error":  {"spool.acked:*=error", "before;error;before;error;before;error;end", false, 0},
		"two points":       {"spool.acked:1=error;pub.sent:2=kill", "before;error;before;", true, 0},
		"wrong":            {"pub.snet=kill", "before;", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "child")
			child.Env = append(os.Environ(), Env+"="+c.env)
			out, err := child.Output()
			status := syscall.WaitStatus(0)
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				status = exit.Sys().(syscall.WaitStatus)
			}
			killed := status.Signaled() && status.Signal() == syscall.SIGKILL
			if string(out) != c.out || killed != c.killed || (!killed && status.ExitStatus() != c.exit) {
				t.Errorf("printed %q, killed %t, status %d; want %q, %t, %d", out, killed, status.ExitStatus(), c.out, c.killed, c.exit)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value, wrong string
		want         []rule
	}{
		{"", "", nil},
		{"pub.sent=kill;", "", []rule{{PubSent, 1, "kill", 0}}},
		{"bulk.sent:*=sleep:20ms;cons.received:7=error", "", []rule{{BulkSent, 0, "sleep", 20 * time.Millisecond}, {ConsReceived, 7, "error", 0}}},
		{"pub.sent", "want point[:n]=action", nil},
		{"sent=kill", `the point "sent"`, nil},
		{"pub.sent=kill;pub.sent:2=kill", "twice", nil},
		{"pub.sent:0=kill", `the count "0"`, nil},
		{"pub.sent:x=kill", `the count "x"`, nil},
		{"pub.sent=die", `the action "die"`, nil},
		{"pub.sent=kill:now", `the action "kill:now"`, nil},
		{"pub.sent=sleep", `the action "sleep"`, nil},
		{"pub.sent=sleep:-1s", `the action "sleep:-1s"`, nil},
	} {
		got, err := parse(c.value)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(rule{})); diff != "" {
			t.Errorf("%q: %s", c.value, diff)
		}
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: error %v, want %q", c.value, err, c.wrong)
		}
	}
}
