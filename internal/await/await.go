// Package await waits in tests for conditions: nothing sleeps, and nothing depends on how fast a machine is.
package await

import (
	"context"
	"testing"
	"time"
)

const (
	// patience is how long a condition may take: so long that only what never happens takes longer, on a
	// machine that is busy too.
	patience = 2 * time.Minute
	pause    = 5 * time.Millisecond
)

// Until waits until the condition holds, and ends the test if that does not happen within two minutes.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !Reached(t.Context(), condition) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// Reached reports whether the condition came to hold within two minutes, and before ctx ended. It is for
// goroutines that must not end a test.
func Reached(ctx context.Context, condition func() bool) bool {
	return Within(ctx, patience, condition)
}

// Within is Reached with another limit than two minutes.
func Within(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
