//go:build long

package opensearch

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

// TestOwnServer_faults does to a server of its own what a shared one cannot be asked for. After each fault all
// records are there, each once; none is ever taken for poison.
func TestOwnServer_faults(t *testing.T) { //nolint:paralleltest // the settings of the server come by the environment
	t.Setenv("OPENSEARCH_SETTINGS", "http.max_content_length: 1mb\ncluster.routing.allocation.disk.threshold_enabled: true\n"+
		"cluster.routing.allocation.disk.watermark.low: 3b\ncluster.routing.allocation.disk.watermark.high: 2b\n"+
		"cluster.routing.allocation.disk.watermark.flood_stage: 1b\ncluster.info.update.interval: 10s")
	server := testservers.Own(t, "opensearch")
	s, err := New(Config{
		Addresses: []string{server.Env("OPENSEARCH_URL")}, BulkTimeout: 10 * time.Second, Timeout: 10 * time.Second,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &ownServer{t: t, s: s, seen: map[store.Status]int{}}

	t.Log("413: the server takes no request above 1 MiB")
	f.write(f.records(2000, nil), nil)

	t.Log("kill -9 while several bulks are under way")
	var writers sync.WaitGroup
	for range 3 {
		docs := f.records(2000, nil)
		writers.Go(func() {
			for len(docs) > 0 {
				n := min(100, len(docs))
				f.write(docs[:n], nil)
				docs = docs[n:]
			}
		})
	}
	server.Kill("opensearch")
	f.write(f.records(1, nil), func() { server.Start("opensearch") })
	writers.Wait()
	f.want(store.Transient)

	t.Log("frozen")
	server.Pause("opensearch")
	f.write(f.records(10, nil), func() { server.Resume("opensearch") })
	f.want(store.Transient)

	t.Log("disk above the flood stage")
	set := func(settings object) {
		onOwn(t, s, http.MethodPut, "/_cluster/settings", object{"transient": settings})
	}
	const watermark = "cluster.routing.allocation.disk.watermark."
	set(object{watermark + "low": "900tb", watermark + "high": "800tb", watermark + "flood_stage": "700tb"})
	f.until(store.Environment)
	f.write(f.records(10, nil), func() { set(object{watermark + "low": nil, watermark + "high": nil, watermark + "flood_stage": nil}) })

	t.Log("no more shards allowed: the index of another month cannot be made")
	set(object{"cluster.max_shards_per_node": 1})
	january := func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, 2, 0) }
	f.write(f.records(10, january), func() { set(object{"cluster.max_shards_per_node": nil}) })
	f.want(store.Environment)

	t.Log("index and template are deleted")
	onOwn(t, s, http.MethodDelete, "/_index_template/audit-logs", nil)
	onOwn(t, s, http.MethodDelete, "/"+s.names.of(november.AddDate(0, 2, 0)), nil)
	f.lost += 10
	f.write(f.records(10, january), nil)

	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := s.Search(t.Context(), store.Query{TotalLimit: store.MaxWindow, Size: 1})
	if want := f.n - f.lost; err != nil || page.Total != int64(want) {
		t.Errorf("found %d records, %v, want %d", page.Total, err, want)
	}
	t.Logf("%d records; answers: %v", f.n, f.seen)
}

// ownServer writes records until they are stored, and counts the answers.
type ownServer struct {
	t    *testing.T
	s    *Store
	mu   sync.Mutex
	n    int // records made
	lost int // by those whose index the test has deleted
	seen map[store.Status]int
}

func (f *ownServer) records(n int, change func(*event.Record)) []store.Doc {
	f.t.Helper()
	list := make([]event.Record, n)
	for i := range list {
		list[i] = record(f.n%100_000, func(r *event.Record) {
			r.Reason = strings.Repeat(fmt.Sprint("word", f.n, " "), 60)
			if change != nil {
				change(r)
			}
		})
		f.n++
	}
	return docs(f.t, list...)
}

// write writes docs until all are stored. When some are refused, it calls mend, once.
func (f *ownServer) write(docs []store.Doc, mend func()) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	defer cancel()
	for len(docs) > 0 {
		results, err := f.s.Write(ctx, docs)
		if err != nil {
			f.t.Errorf("%d documents are not stored: %v", len(docs), err)
			return
		}
		var left []store.Doc
		f.mu.Lock()
		for i, r := range results {
			f.seen[r.Status]++
			switch r.Status {
			case store.Stored, store.Duplicate:
			case store.Transient, store.Environment:
				left = append(left, docs[i])
			default:
				f.t.Errorf("%s: %v", r.Status, r.Err)
			}
		}
		f.mu.Unlock()
		if len(left) > 0 && mend != nil {
			mend()
			mend = nil
		}
		if docs = left; len(docs) > 0 {
			pause(ctx, 200*time.Millisecond)
		}
	}
	if mend != nil {
		f.t.Error("nothing was refused")
		mend()
	}
}

// until writes single records until one has the status.
func (f *ownServer) until(status store.Status) {
	f.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); pause(f.t.Context(), 500*time.Millisecond) {
		doc := f.records(1, nil)
		results, err := f.s.Write(f.t.Context(), doc)
		if err != nil {
			f.t.Fatal(err)
		}
		if results[0].Status == status {
			f.t.Logf("%s: %v", status, results[0].Err)
			f.lost++ // this one is not written again
			return
		}
	}
	f.t.Fatalf("no document was refused as %s", status)
}

// want fails the test unless the status was seen since the last call.
func (f *ownServer) want(status store.Status) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[status] == 0 {
		f.t.Errorf("no document was %s: %v", status, f.seen)
	}
	f.t.Logf("answers: %v", f.seen)
	clear(f.seen)
}

func onOwn(t *testing.T, s *Store, method, path string, body any) {
	t.Helper()
	r := request{method: method, path: path, timeout: time.Minute}
	if body != nil {
		r.body = asJSON(body)
	}
	if err := s.call(t.Context(), r, nil); err != nil {
		t.Fatal(err)
	}
}
