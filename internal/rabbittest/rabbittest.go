// Package rabbittest gives tests streams of their own on the real RabbitMQ.
package rabbittest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream/rabbit"
)

// Config gives the address and the credentials of the server that the tests run against, and the name
// of a stream that does not exist.
func Config(t testing.TB) rabbit.Config {
	t.Helper()
	config, err := rabbit.ConfigFromURI(testservers.RabbitMQ(t))
	if err != nil {
		t.Fatal(err)
	}
	config.Stream = testservers.Name(t, "t_audit_")
	return config
}

// Stream declares a stream and removes it when the test ends.
func Stream(t testing.TB) rabbit.Config {
	t.Helper()
	config := Config(t)
	Declare(t, config, rabbit.Limits{})
	return config
}

// Declare declares the stream and removes it when the test ends.
func Declare(t testing.TB, config rabbit.Config, limits rabbit.Limits) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := rabbit.Declare(ctx, config, limits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended when cleanups run.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := rabbit.Delete(ctx, config); err != nil {
			t.Error(err)
		}
	})
}

// Leaks gives what still runs at the end of all tests; TestMain asks it. What the client left behind on
// connections that went dead ends when its calls do, after 10 s.
func Leaks() (err error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			return nil
		}
	}
	return err
}
