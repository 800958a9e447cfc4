//go:build long

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestBounded_whateverTheBrokerDoes: with ten times the records that wait there is neither more memory nor
// are there more goroutines, while the broker is down, takes and answers nothing (as a frozen one), or is slow.
// Not parallel: it counts what the whole process has.
func TestBounded_whateverTheBrokerDoes(t *testing.T) { //nolint:paralleltest // see above
	direct := rabbittest.Stream(t)
	for _, c := range []struct {
		name    string
		connect bool // it has a connection before
		trouble func(p *tcpproxy.Proxy)
	}{
		{"down", false, nil},
		{"frozen", true, func(p *tcpproxy.Proxy) { p.Hold() }},
		{"slow", true, func(p *tcpproxy.Proxy) { p.Limit(10_000) }},
	} {
		t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // see above
			dial := func(context.Context, string) (stream.Publisher, error) { return nil, errors.New("connection refused") }
			var trouble func()
			if c.connect {
				through, proxy := rabbittest.Through(t, direct)
				dial, trouble = rabbit.Dialer(through), func() { c.trouble(proxy) }
			}
			queue, err := spool.Open(t.TempDir(), spool.Config{Logger: quiet, CommitTimeout: 2 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = queue.Close() })
			service := start(t, queue, dial, relay.Config{Logger: quiet, Window: 500, Batch: 100, MinPause: 5 * time.Millisecond, MaxPause: 20 * time.Millisecond})
			if trouble != nil {
				await.Until(t, "the connection", func() bool { return service.Stats().Connected })
				trouble()
			}
			const n = 2_000
			fill := func(from, to int) numbersOf {
				for i := from; i < to; i += 50 {
					if err := queue.Write(t.Context(), kilobytes(i, 50)); err != nil {
						t.Fatal(err)
					}
				}
				return measure()
			}
			once := fill(0, n)
			tenfold := fill(n, 10*n)
			if queue.Stats().Pending < 5*n {
				t.Fatalf("%d wait of %d", queue.Stats().Pending, 10*n)
			}
			// 18 MB were written between the two, in 360 calls. A connection may have been given up.
			if tenfold.heap > once.heap+9<<20 || tenfold.goroutines > once.goroutines+50 {
				t.Errorf("with %d records %+v, with %d %+v", n, once, 10*n, tenfold)
			}
		})
	}
}

// kilobytes gives records of about 1 KB.
func kilobytes(from, n int) []event.Record {
	list := make([]event.Record, n)
	for i := range list {
		list[i] = event.Record{LogID: fmt.Sprintf("id-%d", from+i), Timestamp: time.Unix(1e9, 0), Action: event.ActionAdd, Reason: strings.Repeat("x", 900)}
	}
	return list
}
