package consumer_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// pipeline is a stream on the real RabbitMQ, its dead letters, and a store on the real OpenSearch.
type pipeline struct {
	stream, dead rabbit.Config
	store        *opensearch.Store
	prefix       string
	letters      *rabbit.Appender
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{stream: rabbittest.Stream(t), dead: rabbittest.Stream(t), prefix: testservers.Name(t, "t-consumer-")}
	p.store = newStore(t, testservers.OpenSearch(t), p.prefix)
	letters, err := rabbit.NewAppender(p.dead)
	if err != nil {
		t.Fatal(err)
	}
	p.letters = letters
	t.Cleanup(func() { _ = letters.Close() })
	return p
}

func newStore(t *testing.T, address, prefix string) *opensearch.Store {
	t.Helper()
	s, err := opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer s.Close()
		remove(t, testservers.OpenSearch(t)+"/"+prefix+"-2026.11")
	})
	return s
}

func remove(t *testing.T, address string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodDelete, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

func (p *pipeline) publish(t *testing.T, payloads ...[]byte) {
	t.Helper()
	a, err := rabbit.NewAppender(p.stream)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	messages := make([]stream.Message, len(payloads))
	for i, data := range payloads {
		messages[i] = stream.Message{ID: fmt.Sprint("m", i), Payload: data, Properties: map[string]string{"schema_version": "1"}}
	}
	for chunk := range slices.Chunk(messages, 500) {
		if err := a.Append(t.Context(), chunk...); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *pipeline) consumer(t *testing.T, to consumer.Store) *consumer.Consumer {
	t.Helper()
	dial := func(ctx context.Context) (consumer.Source, error) {
		return rabbit.NewSource(ctx, p.stream, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, to, p.letters, consumer.Config{Stream: p.stream.Stream, BatchSize: 100, MaxBackoff: time.Second, CommitInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// found gives the ids of all records that a search finds, sorted.
func (p *pipeline) found(t *testing.T) (ids []string) {
	t.Helper()
	if err := p.store.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := store.Query{Size: store.MaxSize}
	for {
		page, err := p.store.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			ids = append(ids, r.LogID)
		}
		if !page.HasMore {
			slices.Sort(ids)
			return ids
		}
		last := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &last
	}
}

// deadLetters reads n messages from the stream of dead letters.
func (p *pipeline) deadLetters(t *testing.T, n int) (all []stream.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := rabbit.NewSource(ctx, p.dead, "reader", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for len(all) < n {
		more, err := s.Read(ctx, 100)
		if err != nil {
			t.Fatalf("after %d dead letters of %d: %v", len(all), n, err)
		}
		all = append(all, more...)
	}
	return all
}

func TestPipeline_garbageToTheDeadLetters_restToTheIndex(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	var all [][]byte
	var want []string
	for n := range 700 {
		all = append(all, payload(t, n))
		want = append(want, fmt.Sprintf("id-%d", n))
	}
	slices.Sort(want)
	garbage := []byte("this is \xff no record")
	conflict := []byte(strings.Replace(string(payload(t, 5)), `"customer"`, `"forged"`, 1))
	all[300] = garbage
	all = append(all, payload(t, 300), conflict, payload(t, 7)) // the last one a second time
	p.publish(t, all...)

	c := p.consumer(t, p.store)
	stop := run(t, c)
	await.Until(t, "everything is settled", func() bool {
		s := c.Stats()
		return s.Stored+s.Duplicates+s.DeadLettered == int64(len(all)) && s.Committed == s.Offset
	})
	stop()
	if s := c.Stats(); s.Stored != 700 || s.Duplicates != 1 || s.Undecodable != 1 || s.Conflicts != 1 {
		t.Errorf("stats: %+v", s)
	}
	if got := p.found(t); !slices.Equal(got, want) {
		t.Errorf("found %d records, want %d", len(got), len(want))
	}
	letters := p.deadLetters(t, 2)
	for _, c := range []struct {
		kind, offset string
		payload      []byte
	}{{"undecodable", "300", garbage}, {"conflict", "701", conflict}} {
		at := slices.IndexFunc(letters, func(m stream.Message) bool { return m.Properties["x-error-type"] == c.kind })
		if at < 0 {
			t.Fatalf("no dead letter %s", c.kind)
		}
		l := letters[at]
		if string(l.Payload) != string(c.payload) || l.Properties["x-source-stream"] != p.stream.Stream || l.Properties["x-source-offset"] != c.offset ||
			l.Properties["x-error-reason"] == "" || l.Properties["x-first-failed"] == "" || l.Properties["schema_version"] != "1" {
			t.Errorf("dead letter %s: %q %v", c.kind, l.Payload, l.Properties)
		}
	}

	// What comes later is all that another run reads.
	p.publish(t, payload(t, 5000))
	c = p.consumer(t, p.store)
	run(t, c)
	await.Until(t, "the new one is stored", func() bool { return c.Stats().Stored == 1 })
	if s := c.Stats(); s.Received != 1 {
		t.Errorf("read again: %+v", s)
	}
}

// TestPipeline_answersLost: the store answers badly to every second bulk, after it has done it or not.
func TestPipeline_answersLost(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	target, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	var bulks atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/_bulk" {
			proxy.ServeHTTP(w, r)
			return
		}
		switch bulks.Add(1) % 6 {
		case 1:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusGatewayTimeout)
		case 3:
			w.WriteHeader(http.StatusTooManyRequests)
		case 5:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s, err := opensearch.New(opensearch.Config{Addresses: []string{server.URL}, IndexPrefix: p.prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	const n = 2000
	var all [][]byte
	for i := range n {
		all = append(all, payload(t, i))
	}
	p.publish(t, all...)
	c := p.consumer(t, s)
	stop := run(t, c)
	await.Until(t, "all is settled", func() bool { s := c.Stats(); return s.Stored+s.Duplicates >= n && s.Committed == s.Offset })
	stop()
	if ids := p.found(t); len(ids) != n || len(slices.Compact(ids)) != n {
		t.Errorf("found %d", len(ids))
	}
	if s := c.Stats(); s.Retries == 0 || s.DeadLettered != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestPipeline_indexClosed_waits_andPoisonIsBuried: a record that the server refuses does not hold up the
// others, a closed index holds up everything and loses nothing.
func TestPipeline_indexClosed_waits_andPoisonIsBuried(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	// The server takes no member whose name goes into a field that is no object.
	poison := []byte(strings.Replace(string(payload(t, 1)), `"log_id"`, `"user_id.x":1,"log_id"`, 1))
	p.publish(t, payload(t, 0), poison, payload(t, 2))
	c := p.consumer(t, p.store)
	run(t, c)
	await.Until(t, "three are settled", func() bool { s := c.Stats(); return s.Stored == 2 && s.DeadLettered == 1 })
	l := p.deadLetters(t, 1)[0]
	if l.Properties["x-error-type"] != "refused" || string(l.Payload) != string(poison) || !strings.Contains(l.Properties["x-error-reason"], "400") {
		t.Errorf("dead letter: %q %v", l.Payload, l.Properties)
	}

	index := testservers.OpenSearch(t) + "/" + p.prefix + "-2026.11"
	post(t, index+"/_close")
	p.publish(t, payload(t, 3), payload(t, 4))
	await.Until(t, "it waits", func() bool {
		s := c.Stats()
		return s.State == consumer.StateWaiting && strings.Contains(s.LastError, "index_closed_exception") && s.EnvironmentWaits > 1
	})
	if s := c.Stats(); s.DeadLettered != 1 || s.Committed >= 3 {
		t.Errorf("stats: %+v", s)
	}
	post(t, index+"/_open")
	await.Until(t, "all are stored", func() bool {
		s := c.Stats()
		return s.Stored == 4 && s.State == consumer.StateRunning && s.Committed == s.Offset
	})
	if ids := p.found(t); !slices.Equal(ids, []string{"id-0", "id-2", "id-3", "id-4"}) {
		t.Errorf("found %v", ids)
	}
}

func post(t *testing.T, address string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", address, res.Status)
	}
}
