package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestRabbitMQ_slowLine: on a line with a delay, or one that is narrow, everything arrives, only later.
func TestRabbitMQ_slowLine(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]struct {
		slow    func(p *tcpproxy.Proxy)
		records int
	}{
		"200 ms, give or take 50": {func(p *tcpproxy.Proxy) { p.Delay(200*time.Millisecond, 50*time.Millisecond) }, count(2000, 20_000)},
		"100 KB a second":         {func(p *tcpproxy.Proxy) { p.Limit(100_000) }, count(400, 4000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := rabbittest.Stream(t)
			through, proxy := rabbittest.Through(t, direct)
			line.slow(proxy)
			d := deliver(t, direct, through, fast())
			d.write(line.records)
			if d.spool.Stats().Pending == 0 {
				t.Error("nothing waits: the line is not slow")
			}
			d.verify()
		})
	}
}

// TestRabbitMQ_streamDeleted: the loss of the stream is seen, and what is not confirmed goes to the
// one that is made in its place.
func TestRabbitMQ_streamDeleted(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); err != nil {
		t.Fatal(err)
	}
	d := deliver(t, config, config, fast())
	d.write(1000)
	flush(t, d.service)
	d.earlier = d.read().Records // a consumer has them
	if err := rabbit.Delete(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	d.write(1000)
	await.Until(t, "the missing stream", func() bool { return errors.Is(d.service.Stats().LastError, stream.ErrNotExist) })
	if stats := d.service.Stats(); stats.Connected || stats.ConfirmAge <= 0 || d.spool.Stats().Pending == 0 {
		t.Errorf("%+v, want it to wait", stats)
	}
	rabbittest.Declare(t, config, rabbit.Limits{})
	d.verify()
}

// TestRabbitMQ_streamDeleted_isFilledAgain: the stream had confirmed records that nobody has read; the spool
// still has them.
func TestRabbitMQ_streamDeleted_isFilledAgain(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); err != nil {
		t.Fatal(err)
	}
	queue := openSpool(t, t.TempDir())
	service := start(t, queue, rabbit.Dialer(config), fast())
	write(t, queue, records(1, 300)...)
	flush(t, service)
	if err := rabbit.Delete(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	write(t, queue, records(301, 310)...)
	await.Until(t, "the missing stream", func() bool { return errors.Is(service.Stats().LastError, stream.ErrNotExist) })
	rabbittest.Declare(t, config, rabbit.Limits{})
	flush(t, service)

	again, err := queue.Refill(1, 300)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	sender, err := relay.New(again, rabbit.Dialer(config), fast())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sender.Run(ctx); err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
	seen := make(map[string]bool)
	for _, m := range readStream(t, config, 310) {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("id-%d", r.Seq); r.LogID != want || r.ProducerID != queue.Producer() || seen[r.LogID] {
			t.Errorf("%s of %s with the sequence %d, seen before: %t", r.LogID, r.ProducerID, r.Seq, seen[r.LogID])
		}
		seen[r.LogID] = true
	}
	if len(seen) != 310 {
		t.Errorf("%d records, want 310", len(seen))
	}
}

// TestRabbitMQ_superStream_connectionLost: all partitions are lost at once, again and again.
func TestRabbitMQ_superStream_connectionLost(t *testing.T) {
	t.Parallel()
	direct := rabbittest.Config(t)
	direct.Partitions = 3
	rabbittest.Declare(t, direct, rabbit.Limits{})
	through, proxy := rabbittest.Through(t, direct)
	d := deliver(t, direct, through, fast())
	for range count(2, 10) {
		await.Until(t, "a connection", func() bool { return d.service.Stats().Connected })
		failures := d.service.Stats().Failures
		d.during(2000, func() {
			d.moving()
			proxy.Cut()
			await.Until(t, "the failure", func() bool { return d.service.Stats().Failures > failures })
			d.moving()
		})
	}
	d.verify()
}

// TestRabbitMQ_nameUsedBySomebodyElse: the broker drops what has a sequence that it knows, and confirms
// it. An attacker who publishes the highest sequence under a queue's name would silence it.
func TestRabbitMQ_nameUsedBySomebodyElse(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	d := deliver(t, config, config, fast())
	d.write(100)
	flush(t, d.service)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = d.service.Shutdown(ctx) // everything is confirmed
	for _, name := range []string{d.spool.Producer(), d.spool.Producer() + "~2"} {
		thief, err := rabbit.NewPublisher(t.Context(), config, name)
		if err != nil {
			t.Fatal(err)
		}
		defer thief.Close()
		if err := thief.Publish(t.Context(), []stream.Message{{ID: "thief", Seq: math.MaxInt64, Payload: []byte(`{"log_id":"thief","action":"GAP"}`)}}); err != nil {
			t.Fatal(err)
		}
		<-thief.Confirmed()
		// What the broker does with the queue's own records then.
		own, err := rabbit.NewPublisher(t.Context(), config, name)
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		if err := own.Publish(t.Context(), []stream.Message{{ID: "dropped", Seq: 101, Payload: []byte(`{}`)}}); err != nil {
			t.Fatal(err)
		}
		if upTo := <-own.Confirmed(); upTo != 101 {
			t.Errorf("confirmed %d", upTo)
		}
	}
	d.service = start(t, d.spool, rabbit.Dialer(config), fast())
	d.write(100)
	flush(t, d.service)
	if got := d.service.Stats().AbandonedNames; got != 2 {
		t.Errorf("%d names were given up, want 2", got)
	}
	arrived := make(map[string]int)
	for _, m := range readStream(t, config, 0) {
		arrived[m.ID]++
	}
	if arrived["dropped"] != 0 {
		t.Error("the broker keeps what has a sequence that it knows: the test shows nothing")
	}
	for w := range writers {
		for n := 1; n <= d.numbers[w]; n++ {
			if id := idOf(w, n); arrived[id] != 1 {
				t.Errorf("record %s is on the stream %d times, want once", id, arrived[id])
			}
		}
	}
}
