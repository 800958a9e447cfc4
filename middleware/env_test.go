package middleware_test

import (
	"testing"

	"github.com/gormtrail/audit/middleware"
	"github.com/gormtrail/audit/middleware/nethttp"
)

func TestSessionHashKeyFromEnv(t *testing.T) { //nolint:paralleltest // sets the environment
	for name, function := range map[string]func() []byte{"gin": middleware.SessionHashKeyFromEnv, "nethttp": nethttp.SessionHashKeyFromEnv} {
		t.Setenv("AUDIT_SESSION_KEY", "")
		if key := function(); key != nil {
			t.Errorf("%s: %q, want nil", name, key)
		}
		t.Setenv("AUDIT_SESSION_KEY", "0123456789")
		if key := function(); string(key) != "0123456789" {
			t.Errorf("%s: %q", name, key)
		}
	}
}
