package relay_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

// count gives the number for make test, or that for make test-long.
func count(short, long int) int {
	if testservers.Long() {
		return long
	}
	return short
}

// delivery is a spool with its relay, and the book of what was written to it.
type delivery struct {
	t       *testing.T
	direct  rabbit.Config // to read from
	spool   *spool.Spool
	service *relay.Service
	book    oracle.Delivery
	written atomic.Int64
	numbers [writers]int // of the last record of each writer
	earlier []event.Record
}

// writers write at the same time, each to objects of its own.
const (
	writers = 4
	objects = 8 // of each writer
)

// deliver opens a spool of its own and relays it through the configuration.
func deliver(t *testing.T, direct, through rabbit.Config, config relay.Config) *delivery {
	t.Helper()
	d := &delivery{t: t, direct: direct}
	var err error
	d.spool, err = spool.Open(t.TempDir(), spool.Config{Logger: quiet, CommitTimeout: time.Minute, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.spool.Close() })
	d.service = start(t, d.spool, rabbit.Dialer(through), config)
	return d
}

// padding makes a record one of about 1 KB.
var padding = strings.Repeat("x", 700)

// write writes about n records, by all writers at the same time, some at once; every write must succeed.
func (d *delivery) write(n int) {
	d.t.Helper()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for left := n / writers; left > 0; left -= 5 {
				d.writeBatch(w, min(5, left))
			}
		})
	}
	all.Wait()
	if d.t.Failed() {
		d.t.FailNow()
	}
}

func (d *delivery) writeBatch(w, n int) {
	records := make([]event.Record, n)
	ids := make([]string, n)
	for i := range records {
		d.numbers[w]++
		ids[i] = idOf(w, d.numbers[w])
		records[i] = event.Record{
			LogID: ids[i], Timestamp: time.Unix(1e9, 0), Action: event.ActionChange, UserAgent: padding,
			ObjectType: "customer", ObjectID: fmt.Sprint(w*objects + d.numbers[w]%objects),
		}
		if err := d.book.Issue(records[i]); err != nil {
			d.t.Error(err)
		}
	}
	if err := d.spool.Write(context.WithoutCancel(d.t.Context()), records); err != nil {
		d.t.Error(err)
		return
	}
	d.book.Tell(oracle.Promised, ids...)
	d.written.Add(int64(n))
}

// during writes at least n records, and goes on until the fault has returned.
func (d *delivery) during(n int, fault func()) {
	d.t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for left := n / writers; !d.t.Failed(); left -= 5 {
				select {
				case <-done:
					if left <= 0 {
						return
					}
				default:
				}
				d.writeBatch(w, 5)
				if left <= 0 { // no more than the fault needs: as slow as the disk
					runtime.Gosched()
				}
			}
		})
	}
	func() {
		defer close(done)
		fault()
	}()
	all.Wait()
	if d.t.Failed() {
		d.t.FailNow()
	}
}

// idOf gives the log_id of a writer's record.
func idOf(writer, n int) string { return fmt.Sprintf("w%d-%07d", writer, n) }

// moved waits until something is confirmed.
func (d *delivery) moved() {
	d.t.Helper()
	await.Until(d.t, "the first confirm", func() bool { return d.spool.Acknowledged() > 0 })
}

// moving waits until something more is confirmed: something must be writing meanwhile.
func (d *delivery) moving() {
	d.t.Helper()
	acknowledged := d.spool.Acknowledged()
	defer func() {
		if d.t.Failed() {
			d.t.Logf("relay: %+v; spool: %+v", d.service.Stats(), d.spool.Stats())
		}
	}()
	await.Until(d.t, "confirms", func() bool { return d.spool.Acknowledged() > acknowledged })
}

// read gives the records on the stream, or on all partitions.
func (d *delivery) read() oracle.Arrivals {
	d.t.Helper()
	got := oracle.Arrivals{Partitioned: d.direct.Partitions > 0, Records: d.earlier}
	configs := []rabbit.Config{d.direct}
	if got.Partitioned {
		names, err := rabbit.Partitions(d.t.Context(), d.direct)
		if err != nil {
			d.t.Fatal(err)
		}
		configs = nil
		for _, name := range names {
			config := d.direct
			config.Stream, config.Partitions = name, 0
			configs = append(configs, config)
		}
	}
	for _, config := range configs {
		for _, m := range readStream(d.t, config, int(d.written.Load())) {
			r, err := event.Decode(m.Payload)
			if err != nil {
				d.t.Fatal(err)
			}
			got.Records = append(got.Records, r)
		}
	}
	return got
}

// verify is called when the faults have ended: a fresh record gets through, everything is delivered,
// and the book is right.
func (d *delivery) verify() {
	d.t.Helper()
	d.write(writers)
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Minute)
	defer cancel()
	if err := d.service.Flush(ctx); err != nil {
		d.t.Fatalf("%v; relay %+v", err, d.service.Stats())
	}
	for _, err := range d.book.Check(d.read()) {
		d.t.Error(err)
	}
	stats := d.service.Stats()
	if pending := d.spool.Stats().Pending; pending != 0 || stats.ConfirmAge != 0 || stats.Blocked {
		d.t.Errorf("%d pending, relay %+v", pending, stats)
	}
	d.t.Logf("%d records: 0 lost, 0 invented, 0 double, order kept; %d connections, %d failures, %d sent again, last error: %v",
		d.book.Promised(), stats.Connections, stats.Failures, stats.Resent, stats.LastError)
}

// numbersOf is what must stay bounded during an outage.
type numbersOf struct {
	goroutines int
	heap       uint64
}

func measure() numbersOf {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return numbersOf{runtime.NumGoroutine(), m.HeapAlloc}
}
