package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream/rabbit"
)

// impatient finds a broker that is frozen within a second.
func impatient() relay.Config {
	config := fast()
	config.ConfirmTimeout = time.Second
	return config
}

// ownStreams declares streams on the test's own broker, which are there after kill -9.
func ownStreams(t *testing.T, broker *testservers.Server, n int) []rabbit.Config {
	t.Helper()
	configs := make([]rabbit.Config, n)
	for i := range configs {
		config, err := rabbit.ConfigFromURI(broker.Env("RABBITMQ_STREAM_URI"))
		if err != nil {
			t.Fatal(err)
		}
		config.Stream = testservers.Name(t, "t_audit_")
		config.ConnectTimeout = 10 * time.Second
		rabbittest.Declare(t, config, rabbit.Limits{})
		configs[i] = config
	}
	// RabbitMQ 4.0 writes down some seconds later that there is a new stream; if it is killed before, the
	// stream does not exist then, or is "not available" for ever. An orderly restart leaves nothing unwritten.
	for _, command := range []string{"stop_app", "start_app"} {
		broker.Run("rabbitmq", "rabbitmqctl", "-q", command)
	}
	return configs
}

// TestBroker kills, freezes and fills a broker of its own, one thing after the other.
func TestBroker(t *testing.T) { //nolint:paralleltest // counts all goroutines
	broker := testservers.Own(t, "rabbitmq")
	const name = "rabbitmq"
	streams := ownStreams(t, broker, 5)

	t.Run("killed while publishing, absent at start", func(t *testing.T) { //nolint:paralleltest // one broker
		d := deliver(t, streams[0], streams[0], fast())
		kills := count(1, 10)
		var late *delivery
		for range kills {
			d.during(count(4000, 400_000)/kills, func() {
				d.moving()
				broker.Kill(name)
				if late == nil {
					late = deliver(t, streams[1], streams[1], fast())
					late.write(count(1000, 10_000))
					await.Until(t, "failures", func() bool { return late.service.Stats().Failures > 2 })
					if stats := late.service.Stats(); stats.Connected || stats.ConfirmAge <= 0 || stats.LastError == nil {
						t.Errorf("%+v, want it to say that the broker is not there", stats)
					}
					if got := int64(late.spool.Stats().Pending); got != late.written.Load() {
						t.Errorf("%d pending, want %d", got, late.written.Load())
					}
				}
				broker.Start(name)
				d.moving()
			})
		}
		d.verify()
		late.verify()
	})

	t.Run("frozen", func(t *testing.T) { //nolint:paralleltest // one broker
		config := streams[2]
		config.ConnectTimeout = time.Second
		d := deliver(t, config, config, impatient())
		d.write(1000)
		d.moved()
		broker.Pause(name)
		defer broker.Resume(name)
		d.write(count(10_000, 50_000)) // goes on as if nothing was
		await.Until(t, "the watchdog", func() bool { return d.service.Stats().Blocked })
		if stats := d.service.Stats(); stats.Connected || stats.ConfirmAge <= 0 {
			t.Errorf("%+v, want no connection", stats)
		}
		before := measure()
		failures := d.service.Stats().Failures
		await.Until(t, "attempts to connect", func() bool {
			d.writeBatch(0, 5)
			return d.service.Stats().Failures > failures+uint64(count(3, 20))
		})
		if after := measure(); after.goroutines > before.goroutines+10 || after.heap > before.heap+32<<20 {
			t.Errorf("during the outage it grew from %+v to %+v", before, after)
		}
		broker.Resume(name)
		d.verify()
	})

	t.Run("short of disk space", func(t *testing.T) { //nolint:paralleltest // one broker
		config := streams[3]
		d := deliver(t, config, config, impatient())
		d.write(1000)
		d.moved()
		broker.Run(name, "rabbitmqctl", "-q", "set_disk_free_limit", "9999GB")
		defer broker.Run(name, "rabbitmqctl", "-q", "set_disk_free_limit", "50MB")
		d.write(count(5000, 50_000))
		await.Until(t, "the blocked transport", func() bool { return d.service.Stats().Blocked })
		pending := d.spool.Stats().Pending
		d.write(100)
		if got := d.spool.Stats().Pending; got < pending+100 {
			t.Errorf("%d pending, %d before: want the spool to grow", got, pending)
		}
		broker.Run(name, "rabbitmqctl", "-q", "set_disk_free_limit", "50MB")
		d.verify()
	})

	t.Run("out of disk space, ended", func(t *testing.T) { //nolint:paralleltest // one broker
		config := streams[4]
		d := deliver(t, config, config, fast())
		d.write(1000)
		d.moved()
		// Writes beyond that size fail, as on a full disk; the broker ends by it.
		pid := strings.Trim(broker.Run(name, "rabbitmqctl", "-q", "eval", "os:getpid()."), "\" \n")
		broker.Run(name, "prlimit", "--pid="+pid, "--fsize=3000000:")
		failures := d.service.Stats().Failures
		d.during(4000, func() {
			await.Until(t, "the end of the broker", func() bool { return d.service.Stats().Failures > failures+2 })
		})
		broker.Kill(name)
		broker.Start(name)
		d.verify()
	})
}
