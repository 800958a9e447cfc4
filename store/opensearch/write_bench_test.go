package opensearch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

// realistic gives documents as a consumer hands them over: changes of three fields, about 1 KB.
func realistic(tb testing.TB, from, n int) []store.Doc {
	tb.Helper()
	list := make([]event.Record, n)
	for i := range list {
		k := from + i
		list[i] = record(k, func(r *event.Record) {
			r.Username = fmt.Sprintf("user.%d", k%500)
			r.IPAddress, r.UserAgent = "192.168.1.1", "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
			r.RequestID, r.TraceID, r.SpanID = event.NewID(r.Timestamp), "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
			r.Service, r.Environment, r.Host, r.HTTPMethod, r.HTTPRoute = "crm", "production", "web-1", "PUT", "/customers/:id"
			r.Changes = []event.Change{
				{Field: "status", Label: "Status", Type: "string", Old: []byte(`"PENDING"`), New: []byte(`"APPROVED"`)},
				{Field: "balance", Label: "Balance", Type: "decimal", Old: []byte(`"10.50"`), New: fmt.Appendf(nil, `"%d.25"`, k)},
				{Field: "updated_at", Label: "Updated at", Type: "time", Old: []byte(`"2026-11-03T04:05:06Z"`), New: []byte(`"2026-11-24T04:05:06Z"`)},
			}
			r.ChangedFields = []string{"status", "balance", "updated_at"}
			r.ProducerID, r.Seq = "audit.crm.0190a1b2-0000-7000-8000-000000000001", uint64(k)
		})
	}
	return docs(tb, list...)
}

// processor gives how much processor time this process has used.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkPrepare is what the writer adds to a record before it is sent: derived fields, its operation.
func BenchmarkPrepare(b *testing.B) {
	s, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	list := realistic(b, 0, 1000)
	w := &write{s: s, docs: list, results: make([]store.Result, len(list)), buffer: new(buffer)}
	b.ReportAllocs()
	before := processor(b)
	for b.Loop() {
		w.fill(0)
	}
	b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-ns/record")
	b.ReportMetric(float64(len(w.body))/1000, "bytes/record")
}

// benchStore gives a store of its own for a benchmark.
func benchStore(b *testing.B, name string) *Store {
	b.Helper()
	s, err := New(Config{Addresses: []string{testservers.OpenSearch(b)}, IndexPrefix: testservers.Name(b, "t-bench-"+name)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		r := request{method: http.MethodDelete, path: "/" + s.names.of(november)}
		if err := s.call(context.WithoutCancel(b.Context()), r, nil); err != nil {
			b.Error(err)
		}
		_ = s.Close()
	})
	return s
}

// BenchmarkWrite_againstPrebuilt writes the same records into the real server by Write and, in turn, as
// bulk bodies that are ready before the clock runs, by a loop that only posts them: two requests under way
// in both. "ratio" is the time of the loop by that of Write: 1 is as fast as can be.
//
//	go test -run '^$' -bench againstPrebuilt -benchtime 1x ./store/opensearch
func BenchmarkWrite_againstPrebuilt(b *testing.B) {
	const bulks, size, rounds, inFlight = 20, 1000, 7, 2
	var ours, loop []float64 // records a second
	var cpuOurs, cpuLoop, allocs float64
	both := func(f func(n int)) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range inFlight {
			wg.Go(func() {
				for n := int(next.Add(1)); n <= bulks; n = int(next.Add(1)) {
					f(n - 1)
				}
			})
		}
		wg.Wait()
	}
	timed := func(f func(n int)) (perSecond, cpu, mallocs float64) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began, used := time.Now(), processor(b)
		both(f)
		took := time.Since(began)
		used = processor(b) - used
		runtime.ReadMemStats(&after)
		const n = bulks * size
		return n / took.Seconds(), float64(used.Microseconds()) / n, float64(after.Mallocs-before.Mallocs) / n
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
	defer client.CloseIdleConnections()
	for b.Loop() {
		mine, plain := benchStore(b, "w-"), benchStore(b, "p-")
		for round := -1; round < rounds; round++ { // the first one warms up
			batches := make([][]store.Doc, bulks)
			bodies := make([][]byte, bulks)
			for i := range batches {
				batches[i] = realistic(b, ((round+1)*bulks+i)*size, size)
				w := &write{s: plain, docs: batches[i], results: make([]store.Result, size), buffer: new(buffer)}
				w.fill(0)
				bodies[i] = w.body
			}
			write := func() {
				r, cpu, n := timed(func(i int) {
					results, err := mine.Write(b.Context(), batches[i])
					if err != nil || slices.ContainsFunc(results, func(r store.Result) bool { return r.Status != store.Stored }) {
						b.Errorf("not all was stored: %v", err)
					}
				})
				if round >= 0 {
					ours, cpuOurs, allocs = append(ours, r), cpuOurs+cpu/rounds, allocs+n/rounds
				}
			}
			post := func() {
				if round < 0 {
					if err := plain.ensure(b.Context(), plain.names.of(november)); err != nil {
						b.Fatal(err)
					}
				}
				r, cpu, _ := timed(func(i int) { prebuilt(b, client, plain.cfg.Addresses[0], bodies[i]) })
				if round >= 0 {
					loop, cpuLoop = append(loop, r), cpuLoop+cpu/rounds
				}
			}
			if round%2 == 0 {
				write()
				post()
			} else {
				post()
				write()
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(loop)
	b.ReportMetric(ours[len(ours)/2]/loop[len(loop)/2], "ratio")
	b.ReportMetric(ours[len(ours)/2], "records/s")
	b.ReportMetric(loop[len(loop)/2], "prebuilt/s")
	b.ReportMetric(cpuOurs, "cpu-µs/record")
	b.ReportMetric(cpuLoop, "prebuilt-cpu-µs/record")
	b.ReportMetric(allocs, "allocs/record")
}

// prebuilt posts a body as a program would that does nothing else: it looks for no error but that of the
// whole request.
func prebuilt(b *testing.B, client *http.Client, address string, body []byte) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, address+"/_bulk?filter_path=took,errors", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(answer, []byte(`"errors":false`)) {
		b.Errorf("%v: %s", err, answer)
	}
}
