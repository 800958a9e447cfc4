package opensearch

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

func TestSearch_closedMonth_isAnErrorWhereItMatters(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	writeAll(t, s, docs(t, record(1), record(2, func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, -1, 0) })))
	raw(t, s, http.MethodPost, "/"+s.names.prefix+"-2026.10/_close", nil)
	s = asReader(t, s)
	for _, c := range []struct {
		name string
		q    store.Query
		ok   bool
	}{
		{"all", store.Query{}, false},
		{"the closed month", store.Query{From: november.AddDate(0, -1, -2), To: november.AddDate(0, -1, 2)}, false},
		{"the open month", store.Query{From: november.AddDate(0, 0, -2)}, true},
		{"a month that does not exist", store.Query{From: november.AddDate(0, 2, 0)}, true},
	} {
		_, err := s.Search(t.Context(), c.q)
		if (err == nil) != c.ok || err != nil && (!errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "2026.10")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := s.Get(t.Context(), "any"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
}

func TestSearch_manyMonths(t *testing.T) {
	t.Parallel()
	n := names{"p"}
	s := &Store{names: n}
	s.client = performFunc(func(*http.Request) (*http.Response, error) {
		var list []string
		for m := range maxNamed + 1 {
			list = append(list, fmt.Sprintf(`{"name":%q,"attributes":["open"]}`, n.of(november.AddDate(0, -m, 0))))
		}
		rec := httptest.NewRecorder()
		_, _ = rec.WriteString(`{"indices":[` + strings.Join(list, ",") + `]}`)
		return rec.Result(), nil
	})
	s.cfg.Timeout = time.Minute
	for _, c := range []struct {
		from time.Time
		want string
	}{
		{time.Time{}, "p"},
		{november.AddDate(0, -1, 0), "p-2026.11,p-2026.10"},
	} {
		if got, err := s.target(t.Context(), c.from, time.Time{}); got != c.want || err != nil {
			t.Errorf("from %s: %q, %v", c.from, got, err)
		}
	}
}

type performFunc func(*http.Request) (*http.Response, error)

func (f performFunc) Perform(r *http.Request) (*http.Response, error) { return f(r) }

func TestSearch_prefixOfTooManyWords_isBadQuery_neverPart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var list []store.Doc
	for n := range 1500 {
		list = append(list, docs(t, record(n, func(r *event.Record) { r.ObjectRepr = fmt.Sprintf("first word%d", n) }))...)
	}
	writeAll(t, s, list)
	s = refreshed(t, s)
	page, err := s.Search(t.Context(), store.Query{Text: "word*"})
	if err != nil || page.Total != 1500 {
		t.Errorf("one word: total %d, %v", page.Total, err)
	}
	if _, err := s.Search(t.Context(), store.Query{Text: `"first word"*`}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("phrase: %v", err)
	}
	page, err = s.Search(t.Context(), store.Query{Text: `"first word14"*`})
	if err != nil || page.Total != 111 {
		t.Errorf("phrase with fewer words: total %d, %v", page.Total, err)
	}
}

func TestSearch_lastPageByOffset(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	writeAll(t, s, docs(t, record(1)))
	s = refreshed(t, s)
	for _, limit := range []int{0, -1} {
		page, err := s.Search(t.Context(), store.Query{Offset: store.MaxWindow - 10, Size: 10, TotalLimit: limit})
		if err != nil || page.HasMore || len(page.Records) != 0 {
			t.Errorf("limit %d: %+v, %v", limit, page, err)
		}
	}
	if _, err := s.Search(t.Context(), store.Query{Offset: store.MaxWindow, Size: 10}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("beyond: %v", err)
	}
}

// TestSearch_answerThatIsNotComplete_isAnError: for what a server with one node cannot be made to show.
func TestSearch_answerThatIsNotComplete_isAnError(t *testing.T) {
	t.Parallel()
	const hits = `"hits":{"total":{"value":0,"relation":"eq"},"hits":[]}`
	for _, c := range []struct {
		name, body string
		status     int
		want       error
	}{
		{"a shard is missing", `{"timed_out":false,"_shards":{"total":2,"successful":1,"skipped":0,"failed":0},` + hits + `}`, 200, store.ErrUnavailable},
		{"a shard has failed", `{"timed_out":false,"_shards":{"total":2,"successful":2,"skipped":0,"failed":1},` + hits + `}`, 200, store.ErrUnavailable},
		{"took too long", `{"timed_out":true,"_shards":{"total":1,"successful":1,"failed":0},` + hits + `}`, 200, store.ErrUnavailable},
		{"nothing about shards", `{` + hits + `}`, 200, store.ErrUnavailable},
		{"HTML", `<html>`, 200, store.ErrUnavailable},
		{"half", `{"timed_out":false,"_sha`, 200, store.ErrUnavailable},
		{"a document that is no record", `{"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},"hits":{"hits":[{"_id":"x","_source":{"a":1}}]}}`, 200, store.ErrUnavailable},
		{"closed meanwhile", `{"error":{"type":"index_closed_exception","reason":"closed"},"status":400}`, 400, store.ErrUnavailable},
		{"removed meanwhile", `{"error":{"type":"index_not_found_exception","reason":"no such index"},"status":404}`, 404, store.ErrUnavailable},
		{"too many clauses", `{"error":{"root_cause":[{"type":"too_many_nested_clauses","reason":"maxClauseCount is set to 1024"}],"type":"search_phase_execution_exception","reason":"all shards failed"},"status":400}`, 400, store.ErrQuery},
		{"unauthorized", `Unauthorized`, 401, store.ErrUnavailable},
		{"forbidden", `{"error":{"type":"security_exception","reason":"no permissions"},"status":403}`, 403, store.ErrUnavailable},
		{"overload", ``, 429, store.ErrUnavailable},
		{"bad gateway", `<html>`, 502, store.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/_resolve/") {
					answer(w, 200, `{"indices":[{"name":"audit-logs-2026.11","attributes":["open"]}]}`)
					return
				}
				answer(w, c.status, c.body)
			}))
			defer server.Close()
			s, err := New(Config{Addresses: []string{server.URL}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if page, err := s.Search(t.Context(), store.Query{}); !errors.Is(err, c.want) {
				t.Errorf("search: %+v, %v", page, err)
			}
			if _, err := s.Get(t.Context(), "x"); !errors.Is(err, c.want) {
				t.Errorf("get: %v", err)
			}
		})
	}
}

// TestTLS: a server with a certificate and a password in front of the real one.
func TestTLS(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(testservers.OpenSearch(t))
	if err != nil {
		t.Fatal(err)
	}
	access := testservers.OpenSearchAccess(t)
	transport := access.Transport()
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "audit" || password != "geheim" {
			answer(w, 401, "Unauthorized")
			return
		}
		if r.Header.Del("Authorization"); access.Admin.User != "" {
			r.SetBasicAuth(access.Admin.User, access.Admin.Password)
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // part of the error; "" for none
		status store.Status
	}{
		{"known authority", func(c *Config) { c.CACert = ca }, "", store.Stored},
		{"not verified", func(c *Config) { c.InsecureSkipVerify = true }, "", store.Stored},
		{"unknown authority", func(*Config) {}, "unknown authority", store.Transient},
		{"wrong password", func(c *Config) { c.CACert, c.Password = ca, "falsch" }, "401", store.Environment},
		{"no password", func(c *Config) { c.CACert, c.Username, c.Password = ca, "", "" }, "401", store.Environment},
		{"plain HTTP", func(c *Config) { c.Addresses = []string{"http" + strings.TrimPrefix(server.URL, "https")} }, "400", store.Environment},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, func(cfg *Config) {
				cfg.Addresses, cfg.Username, cfg.Password = []string{server.URL}, "audit", "geheim"
				c.change(cfg)
			})
			err := s.Ping(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("ping: %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "falsch")) {
				t.Errorf("the password is in %v", err)
			}
			if got := writeAll(t, s, docs(t, record(1))); got[0] != c.status {
				t.Errorf("write: %s", got[0])
			}
			if _, err := s.Search(t.Context(), store.Query{}); (err == nil) != (c.want == "") {
				t.Errorf("search: %v", err)
			}
		})
	}
}
