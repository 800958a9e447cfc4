package opensearch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

// faults stands before the real server and spoils the answers to bulk requests: for what a server
// that works, and is shared, cannot be made to show.
type faults struct {
	real  *httputil.ReverseProxy
	bulks atomic.Int64
	// spoil handles bulk request number n, counted from 1, and reports whether it did.
	spoil func(w http.ResponseWriter, r *http.Request, n int64) bool
}

func (f *faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_bulk" && f.spoil(w, r, f.bulks.Add(1)) {
		return
	}
	f.real.ServeHTTP(w, r)
}

// newFaultyStore gives a store whose bulk requests go through spoil.
func newFaultyStore(t *testing.T, spoil func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool) (*Store, *faults) {
	t.Helper()
	address, f := spoiled(t, spoil)
	return newStore(t, func(c *Config) { c.Addresses = []string{address} }), f
}

// besides gives another store of the same indices, whose bulk requests go through spoil.
func besides(t *testing.T, s *Store, spoil func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool) (*Store, *faults) {
	t.Helper()
	address, f := spoiled(t, spoil)
	cfg := s.cfg
	cfg.Addresses = []string{address}
	other, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other, f
}

// spoiled gives the address of a server before the real one.
func spoiled(t *testing.T, spoil func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool) (string, *faults) {
	t.Helper()
	target, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &faults{real: httputil.NewSingleHostReverseProxy(target)}
	f.spoil = func(w http.ResponseWriter, r *http.Request, n int64) bool { return spoil(f, w, r, n) }
	transport := testservers.OpenSearchAccess(t).Transport()
	transport.DisableKeepAlives = false
	f.real.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL, f
}

// through lets the real server answer, and gives its answer.
func (f *faults) through(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	f.real.ServeHTTP(rec, r)
	return rec
}

func answer(w http.ResponseWriter, status int, body string) bool {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	return true
}

// cut sends only the first part of body, or nothing at all, and then drops the connection.
func cut(w http.ResponseWriter, body []byte, n int) bool {
	if n == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body[:n])
	_ = http.NewResponseController(w).Flush()
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
	return true
}

// TestWrite_answerInDoubt: whatever comes back, a document counts as stored only if the server has
// said so, and after sending it again it is there once.
func TestWrite_answerInDoubt(t *testing.T) {
	t.Parallel()
	shared := newStore(t)
	const stored = true // whether the first request reached the server
	for _, c := range []struct {
		name   string
		stored bool
		spoil  func(f *faults, w http.ResponseWriter, r *http.Request) bool
	}{
		{"connection dropped before", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool { return cut(w, nil, 0) }},
		{"connection dropped after", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return cut(w, nil, 0)
		}},
		{"answer cut off", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			body := f.through(r).Body.Bytes()
			return cut(w, body, len(body)/2)
		}},
		{"answer is half, with a good length", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			body := f.through(r).Body.Bytes()
			return answer(w, 200, string(body[:len(body)/2]))
		}},
		{"too few items", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return answer(w, 200, `{"errors":false,"items":[{"create":{"status":201}}]}`)
		}},
		{"too many items", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return answer(w, 200, `{"errors":false,"items":[`+strings.Repeat(`{"create":{"status":201}},`, 9)+`{"create":{"status":201}}]}`)
		}},
		{"items without status", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return answer(w, 200, `{"errors":false,"items":[{"create":{}},{"create":{}},{"create":{}}]}`)
		}},
		{"200 with errors and no items", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool {
			return answer(w, 200, `{"took":1,"errors":true}`)
		}},
		{"items of another operation", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return answer(w, 200, `{"took":1,"errors":false,"items":[`+strings.Repeat(`{"index":{"status":201}},`, 2)+`{"index":{"status":201}}]}`)
		}},
		{"good answer with something behind it", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			return answer(w, 200, f.through(r).Body.String()+"<html>")
		}},
		{"503", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool { return answer(w, 503, "") }},
		{"503, security plugin starts", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool {
			return answer(w, 503, "OpenSearch Security not initialized.")
		}},
		{"reset in the middle of the request", false, func(_ *faults, w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.ReadFull(r.Body, make([]byte, 100))
			return cut(w, nil, 0)
		}},
		{"HTML with 200", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool {
			return answer(w, 200, "<html>welcome</html>")
		}},
		{"empty 200", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool { return answer(w, 200, "") }},
		{"HTML with 502", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool {
			return answer(w, 502, "<html>bad gateway</html>")
		}},
		{"504 after it was stored", stored, func(f *faults, w http.ResponseWriter, r *http.Request) bool {
			f.through(r)
			return answer(w, 504, "")
		}},
		{"429", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool { return answer(w, 429, "") }},
		{"429 breaker", false, func(_ *faults, w http.ResponseWriter, _ *http.Request) bool {
			return answer(w, 429, `{"error":{"type":"rejected_execution_exception","reason":"x"},"status":429}`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, f := besides(t, shared, func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool {
				return n == 1 && c.spoil(f, w, r)
			})
			of := func(r *event.Record) { r.TenantID = c.name }
			list := docs(t, record(1, of), record(2, of), record(3, of))
			for i, status := range writeAll(t, s, list) {
				if status != store.Transient {
					t.Errorf("document %d: %s", i, status)
				}
			}
			if n := f.bulks.Load(); n != 1 {
				t.Errorf("%d requests: somebody else has tried again", n)
			}
			want := store.Stored
			if c.stored {
				want = store.Duplicate
			}
			for i, status := range writeAll(t, s, list) {
				if status != want {
					t.Errorf("document %d, sent again: %s, want %s", i, status, want)
				}
			}
			q := store.Query{Filters: []store.Filter{{Field: store.FieldTenantID, Values: []string{c.name}}}}
			if ids := found(t, s, q); len(ids) != 3 {
				t.Errorf("found %d", len(ids))
			}
		})
	}
}

// TestWrite_goodAnswersOfAnyForm: what is not written as servers do it, but says the same, is a good answer.
func TestWrite_goodAnswersOfAnyForm(t *testing.T) {
	t.Parallel()
	shared := newStore(t)
	for _, c := range []struct{ name, body string }{
		{"unknown time", `{"took":-1,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`},
		{"other order of members", `{"items":[{"create":{"error":null,"status":201}},{"create":{"status":200}}],"errors":false,"took":3}`},
		{"says errors, has none", `{"took":3,"errors":true,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`},
		{"spaces", "{ \"took\": 3,\n \"items\" : [ {\"create\": {\"status\": 201}}, {\"create\":{\"status\":201}} ] }\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, f := besides(t, shared, func(f *faults, w http.ResponseWriter, r *http.Request, _ int64) bool {
				f.through(r)
				return answer(w, 200, c.body)
			})
			if got := writeAll(t, s, docs(t, record(1), record(2))); !slices.Equal(got, []store.Status{store.Stored, store.Stored}) {
				t.Errorf("got %v", got)
			}
			if n := f.bulks.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestWrite_falseSuccess_isNotBelieved: an answer that says "errors": false is read item by item all the same.
func TestWrite_falseSuccess_isNotBelieved(t *testing.T) {
	t.Parallel()
	s, _ := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, _ *http.Request, n int64) bool {
		return n == 1 && answer(w, 200, `{"took":1,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":429}},{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"x"}}}]}`)
	})
	got := writeAll(t, s, docs(t, record(1), record(2), record(3)))
	if !slices.Equal(got, []store.Status{store.Stored, store.Transient, store.Poison}) {
		t.Errorf("got %v", got)
	}
}

// TestWrite_compressed: with gzip, a request and the parts of a halved one are read by the server.
func TestWrite_compressed(t *testing.T) {
	t.Parallel()
	shared := newStore(t, func(c *Config) { c.Compress = true })
	s, f := besides(t, shared, func(_ *faults, w http.ResponseWriter, r *http.Request, n int64) bool {
		if r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("request %d is not compressed", n)
		}
		return n == 1 && answer(w, 413, "")
	})
	list := docs(t)
	for n := range 50 {
		list = append(list, docs(t, record(n))...)
	}
	for i, status := range writeAll(t, s, list) {
		if status != store.Stored {
			t.Errorf("document %d: %s", i, status)
		}
	}
	if n := f.bulks.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// TestWrite_severalNodes: one of the addresses has no server. What was sent there is sent again by the caller,
// and goes to the other one.
func TestWrite_severalNodes_oneIsDead(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	s := newStore(t, func(c *Config) { c.Addresses = append([]string{dead.URL}, c.Addresses...) })
	list := docs(t, record(1), record(2), record(3))
	open := list
	for try := 0; len(open) > 0; try++ {
		if try > 20 {
			t.Fatalf("%d documents are still not stored", len(open))
		}
		results, err := s.Write(t.Context(), open)
		if err != nil {
			t.Fatal(err)
		}
		var left []store.Doc
		for i, r := range results {
			switch r.Status {
			case store.Stored, store.Duplicate:
			case store.Transient:
				left = append(left, open[i])
			default:
				t.Fatalf("document %d: %s: %v", i, r.Status, r.Err)
			}
		}
		open = left
	}
	if ids := found(t, s, store.Query{}); len(ids) != len(list) {
		t.Errorf("found %v", ids)
	}
}

// TestWrite_ConcurrentSafe: bulks of several callers are under way at once, some answers are lost, and buffers
// go from one to the other: each record is stored once, with its own content.
func TestWrite_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	const callers, size = 6, 60
	s, _ := newFaultyStore(t, func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool {
		switch n % 5 {
		case 1:
			return cut(w, nil, 0) // while the body may still be read
		case 3:
			f.through(r)
			return answer(w, 502, "")
		}
		return false
	})
	s.cfg.MaxBulkBytes = 20_000
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			open := make([]store.Doc, 0, size)
			for n := range size {
				open = append(open, docs(t, record(c*size+n, func(r *event.Record) { r.UserID = fmt.Sprint("user", c*size+n) }))...)
			}
			for len(open) > 0 && t.Context().Err() == nil {
				results, err := s.Write(t.Context(), open)
				if err != nil {
					t.Error(err)
					return
				}
				var left []store.Doc
				for i, r := range results {
					switch r.Status {
					case store.Stored, store.Duplicate:
					case store.Transient:
						left = append(left, open[i])
					default:
						t.Errorf("%s: %v", r.Status, r.Err)
					}
				}
				open = left
			}
		})
	}
	wg.Wait()
	page, err := refreshed(t, s).Search(t.Context(), store.Query{Size: store.MaxSize})
	if err != nil || len(page.Records) != callers*size {
		t.Fatalf("found %d of %d, %v", len(page.Records), callers*size, err)
	}
	for _, r := range page.Records {
		if r.UserID != "user"+r.ObjectID {
			t.Errorf("record %s has user %s", r.ObjectID, r.UserID)
		}
	}
}

// TestWrite_connectionDropped_saysSo: the client of v4.6 sends the body again, which is used up, and
// then says that instead of what has happened.
func TestWrite_connectionDropped_saysSo(t *testing.T) {
	t.Parallel()
	s, _ := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, _ *http.Request, _ int64) bool { return cut(w, nil, 0) })
	results, err := s.Write(t.Context(), docs(t, record(1)))
	if err != nil || !strings.HasSuffix(results[0].Err.Error(), ": EOF") {
		t.Errorf("got %v, %v", results, err)
	}
}

func TestWrite_wholeRequestRefused_byEnvironment(t *testing.T) {
	t.Parallel()
	shared := newStore(t)
	for _, c := range []struct {
		status int
		body   string
	}{
		{401, "Unauthorized"},
		{403, `{"error":{"type":"security_exception","reason":"no permissions"},"status":403}`},
		{404, "<html>"},
		{400, `{"error":"no handler found for uri [/_bulk]"}`},
		{400, "<html>The plain HTTP request was sent to HTTPS port"},
		{503, `{"error":{"type":"cluster_manager_not_discovered_exception","reason":null},"status":503}`},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.body), func(t *testing.T) {
			t.Parallel()
			s, _ := besides(t, shared, func(_ *faults, w http.ResponseWriter, _ *http.Request, _ int64) bool {
				return answer(w, c.status, c.body)
			})
			for i, status := range writeAll(t, s, docs(t, record(1), record(2))) {
				if status != store.Environment {
					t.Errorf("document %d: %s", i, status)
				}
			}
		})
	}
}

// TestWrite_413_isHalved: the server takes no request above a size; only the document that is larger
// on its own is refused.
func TestWrite_413_isHalved(t *testing.T) {
	t.Parallel()
	const limit = 20_000
	s, f := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, r *http.Request, _ int64) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return len(body) > limit && answer(w, 413, "")
	})
	list := docs(t)
	for n := range 100 {
		list = append(list, docs(t, record(n))...)
	}
	list[37] = docs(t, record(37, func(r *event.Record) { r.Reason = strings.Repeat("long ", limit/5) }))[0]
	for i, status := range writeAll(t, s, list) {
		want := store.Stored
		if i == 37 {
			want = store.Poison
		}
		if status != want {
			t.Errorf("document %d: %s, want %s", i, status, want)
		}
	}
	if ids := found(t, s, store.Query{}); len(ids) != 99 {
		t.Errorf("found %d", len(ids))
	}
	t.Logf("%d requests", f.bulks.Load())
}

// TestWrite_400_isHalved: one document makes the server refuse the whole request.
func TestWrite_400_isHalved(t *testing.T) {
	t.Parallel()
	s, f := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, r *http.Request, _ int64) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return bytes.Contains(body, []byte("the bad one")) &&
			answer(w, 400, `{"error":{"type":"action_request_validation_exception","reason":"Validation Failed"},"status":400}`)
	})
	list := docs(t)
	for n := range 64 {
		list = append(list, docs(t, record(n))...)
	}
	list[11] = docs(t, record(11, func(r *event.Record) { r.Reason = "the bad one" }))[0]
	for i, status := range writeAll(t, s, list) {
		if (status == store.Poison) != (i == 11) || (status == store.Stored) != (i != 11) {
			t.Errorf("document %d: %s", i, status)
		}
	}
	if n := f.bulks.Load(); n > 13 { // 1 + 2 for each of log2(64) rounds
		t.Errorf("%d requests", n)
	}
}

func TestWrite_itemRejected_onlyThatOneIsTransient(t *testing.T) {
	t.Parallel()
	s, _ := newFaultyStore(t, func(f *faults, w http.ResponseWriter, r *http.Request, n int64) bool {
		if n > 1 {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		lines := bytes.SplitAfter(body, []byte("\n"))
		r.Body = io.NopCloser(bytes.NewReader(bytes.Join(slices.Concat(lines[:2], lines[4:]), nil)))
		r.ContentLength = -1
		if res := f.through(r); res.Code != 200 {
			return answer(w, res.Code, res.Body.String())
		}
		return answer(w, 200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"rejected_execution_exception","reason":"queue"}}},{"create":{"status":201}}]}`)
	})
	list := docs(t, record(1), record(2), record(3))
	if got := writeAll(t, s, list); !slices.Equal(got, []store.Status{store.Stored, store.Transient, store.Stored}) {
		t.Errorf("got %v", got)
	}
	if got := writeAll(t, s, list[1:2]); got[0] != store.Stored {
		t.Errorf("again: %v", got)
	}
}

func TestWrite_unclassified_someTries_thenPoison(t *testing.T) {
	t.Parallel()
	s, f := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, _ *http.Request, _ int64) bool {
		return answer(w, 200, `{"errors":true,"items":[{"create":{"status":418,"error":{"type":"teapot","reason":"short and stout"}}}]}`)
	})
	results, err := s.Write(t.Context(), docs(t, record(1)))
	if err != nil || results[0].Status != store.Poison || !strings.Contains(results[0].Err.Error(), "unclassified") {
		t.Errorf("got %v, %v", results, err)
	}
	if n := f.bulks.Load(); n != unknownTries {
		t.Errorf("%d tries", n)
	}
}

func TestWrite_indexRemovedMeanwhile_isMadeAgain(t *testing.T) {
	t.Parallel()
	s, _ := newFaultyStore(t, func(_ *faults, w http.ResponseWriter, _ *http.Request, n int64) bool {
		return n == 1 && answer(w, 200, `{"errors":true,"items":[{"create":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}}}]}`)
	})
	if got := writeAll(t, s, docs(t, record(1))); got[0] != store.Stored {
		t.Errorf("got %v", got)
	}
}

func TestWrite_nobodyThere_isTransient(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s, err := New(Config{Addresses: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := writeAll(t, s, docs(t, record(1))); got[0] != store.Transient {
		t.Errorf("got %v", got)
	}
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("ping: %v", err)
	}
}

func FuzzParseBulk(f *testing.F) {
	f.Add([]byte(`{"errors":false,"items":[{"create":{"status":201}}]}`))
	f.Add([]byte(`{"items":[{"create":{"status":400,"error":{"type":"a","reason":"b","caused_by":{"reason":"c"}}}}]}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		answers, err := parseBulk(nil, body, 1)
		if (err == nil) != (len(answers) == 1) {
			t.Errorf("%d answers, %v", len(answers), err)
		}
		_ = errorOf(500, body).Error()
	})
}
