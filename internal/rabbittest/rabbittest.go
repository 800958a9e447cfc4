// Package rabbittest gives tests streams of their own on the real RabbitMQ.
package rabbittest

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/internal/tcpproxy"
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

// Through gives the configuration that reaches the server through a proxy, which ends with the test.
func Through(t testing.TB, direct rabbit.Config) (rabbit.Config, *tcpproxy.Proxy) {
	t.Helper()
	proxy := tcpproxy.New(t, net.JoinHostPort(direct.Host, strconv.Itoa(direct.Port)))
	// Runs when everything that uses the proxy has ended, but for the client, which tries for ever to
	// connect again once it has begun to.
	t.Cleanup(func() {
		proxy.Forward()
		stacks := make([]byte, 8<<20)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			if !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("maybeReconnectLocator")) {
				return
			}
			<-time.After(50 * time.Millisecond)
		}
	})
	through := direct
	through.Host, through.Port, through.FixedAddress = "127.0.0.1", proxy.Port(), true
	return through, proxy
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
