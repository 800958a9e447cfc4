package testservers

import (
	"context"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

func TestOwn_isKilledFrozenAndGone(t *testing.T) {
	t.Parallel()
	var folder, address string
	t.Run("inner", func(t *testing.T) {
		s := Own(t, "rabbitmq")
		u, err := url.Parse(s.Env("RABBITMQ_STREAM_URI"))
		if err != nil {
			t.Fatal(err)
		}
		folder, address = s.folder, u.Host
		if !listens(t, address) {
			t.Fatalf("nothing listens at %s", address)
		}
		s.Pause("rabbitmq")
		s.Resume("rabbitmq")
		if got := s.Run("rabbitmq", "rabbitmqctl", "-q", "eval", "6*7."); !strings.Contains(got, "42") {
			t.Errorf("rabbitmqctl says %q", got)
		}
		s.Kill("rabbitmq")
		if listens(t, address) {
			t.Error("listens after kill -9")
		}
		s.Start("rabbitmq")
		if !listens(t, address) {
			t.Error("does not listen after the second start")
		}
	})
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder %s is still there", folder)
	}
	if listens(t, address) {
		t.Error("listens after the test")
	}
}

// listens reports whether something takes connections at the address.
func listens(t *testing.T, address string) bool {
	t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(context.WithoutCancel(t.Context()), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
