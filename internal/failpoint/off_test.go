//go:build !failpoint

package failpoint

import (
	"os/exec"
	"testing"
)

func TestHit_withoutTheTag_doesNothing(t *testing.T) {
	t.Setenv(Env, "pub.sent=kill;spool.acked=error")
	Hit(PubSent)
	if err := Err(SpoolAcked); err != nil || Enabled {
		t.Error(err, Enabled)
	}
}

// The tests of on.go need the tag.
func TestWithTheTag(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "test", "-tags", "failpoint", "-v", ".").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
