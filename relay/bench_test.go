package relay_test

import (
	"slices"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

// Customer is what a request of BenchmarkRequest makes.
type Customer struct {
	ID   int64
	Name string
	Note string
}

// BenchmarkRequest gives the median of what a request takes that writes a row through GORM into
// PostgreSQL, with the record in the spool, while the broker is up, frozen (SIGSTOP) and down (kill -9);
// and the ratios to up, which is measured before and after.
func BenchmarkRequest(b *testing.B) {
	broker := testservers.Own(b, "rabbitmq")
	config, err := rabbit.ConfigFromURI(broker.Env("RABBITMQ_STREAM_URI"))
	if err != nil {
		b.Fatal(err)
	}
	config.Stream, config.ConnectTimeout = testservers.Name(b, "t_audit_"), 5*time.Second
	rabbittest.Declare(b, config, rabbit.Limits{})
	broker.Run("rabbitmq", "rabbitmqctl", "-q", "eval", "mnesia:sync_log().")
	queue, err := spool.Open(b.TempDir(), spool.Config{Logger: quiet, CommitTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { queue.Close() })
	service := start(b, queue, rabbit.Dialer(config), relay.Config{Logger: quiet, ConfirmTimeout: 2 * time.Second})
	db, err := gorm.Open(postgres.Open(testservers.PostgresSchema(b)), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			pool.Close()
		}
	})
	if err := db.AutoMigrate(&Customer{}); err != nil {
		b.Fatal(err)
	}
	registry := audit.NewRegistry()
	_ = registry.Register(&Customer{}) // db.Use returns the mistakes
	if err := db.Use(audit.New(audit.Config{Sink: queue, Scope: audit.ScopeAll, Registry: registry, Logger: quiet})); err != nil {
		b.Fatal(err)
	}
	n := max(b.N, 300)
	median := func() time.Duration {
		took := make([]time.Duration, n)
		for i := range took {
			begin := time.Now()
			if err := db.Create(&Customer{Name: "john", Note: padding}).Error; err != nil {
				b.Fatal(err)
			}
			took[i] = time.Since(begin)
		}
		slices.Sort(took)
		return took[n/2]
	}
	median() // warms up
	b.ResetTimer()
	var up, frozen, down []time.Duration
	for range 3 {
		up = append(up, median())
		broker.Pause("rabbitmq")
		await.Until(b, "the watchdog", func() bool { median(); return !service.Stats().Connected })
		frozen = append(frozen, median())
		broker.Resume("rabbitmq")
		await.Until(b, "the broker", func() bool { return service.Stats().Connected })
		flush(b, service)
		up = append(up, median())
		broker.Kill("rabbitmq")
		await.Until(b, "the loss of the broker", func() bool { return !service.Stats().Connected })
		down = append(down, median())
		broker.Start("rabbitmq")
		await.Until(b, "the broker", func() bool { return service.Stats().Connected })
		flush(b, service)
	}
	b.StopTimer()
	base := middle(up)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(base.Microseconds()), "up-µs")
	b.ReportMetric(float64(middle(frozen))/float64(base), "frozen/up")
	b.ReportMetric(float64(middle(down))/float64(base), "down/up")
}

func middle(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
