package query_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// stream is a live tail as a client gets it.
type stream struct {
	t      *testing.T
	cancel context.CancelFunc
	status int
	lines  *bufio.Scanner
	lastID string
	close  func() error
}

func openStream(t *testing.T, server *httptest.Server, token, params, lastID string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+base+"/stream/"+params, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	answer, err := server.Client().Do(r) //nolint:bodyclose // by close, below
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := &stream{t: t, cancel: cancel, status: answer.StatusCode, lines: bufio.NewScanner(answer.Body), lastID: lastID, close: answer.Body.Close}
	s.lines.Buffer(nil, 1<<20)
	t.Cleanup(s.end)
	return s
}

func (s *stream) end() {
	s.cancel()
	_ = s.close()
}

// record gives the log_id of the next record; ok is false at the end of the stream.
func (s *stream) record() (id string, ok bool) {
	for s.lines.Scan() {
		line := s.lines.Text()
		if v, ok := strings.CutPrefix(line, "id: "); ok {
			s.lastID = v
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var r struct {
				LogID string `json:"log_id"`
			}
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				s.t.Errorf("%q: %v", data, err)
			}
			return r.LogID, true
		}
	}
	return "", false
}

// id waits for an id that is another than the one before.
func (s *stream) id() string {
	before := s.lastID
	for s.lastID == before && s.lines.Scan() {
		if v, ok := strings.CutPrefix(s.lines.Text(), "id: "); ok {
			s.lastID = v
		}
	}
	return s.lastID
}

func (s *stream) expect(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if got, ok := s.record(); got != w || !ok {
			s.t.Errorf("the stream gives %q (%v), want %q", got, ok, w)
		}
	}
}

func quick(o *query.Options) { o.TailInterval, o.Heartbeat = 10*time.Millisecond, 20*time.Millisecond }

// A live tail gives what arrives, to whom it belongs; who comes again with the last id misses nothing.
func TestTail_resumes(t *testing.T) {
	t.Parallel()
	all := seed(40)
	var acme []string
	for _, r := range all {
		if r.TenantID == "acme" {
			acme = append(acme, r.LogID)
		}
	}
	m := storetest.NewMemory(all[:10]...)
	server := serveApp(t, m, quick)
	s := openStream(t, server, acmeToken, "", "")
	if s.status != http.StatusOK {
		t.Fatalf("status %d", s.status)
	}
	s.id() // it has begun
	fill(t, m, all[10:20])
	s.expect(acme[5:10]...)
	last := s.id()
	s.end()
	fill(t, m, all[20:30])
	s = openStream(t, server, acmeToken, "", last)
	s.expect(acme[10:15]...)
	fill(t, m, all[30:])
	s.expect(acme[15:]...)
	s.end()
	// With a filter, and from a checkpoint of /changes/.
	w := newApp(t, m).get(acmeToken, "/changes/?limit=4")
	var c changesBody
	if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(acme[:4], ids(page{Results: c.Results})); diff != "" {
		t.Error(diff)
	}
	s = openStream(t, server, acmeToken, "?after="+url.QueryEscape(c.Next), "")
	s.expect(acme[4:]...)
}

type changesBody struct {
	Results []map[string]any
	Next    string
	More    bool
}

// Threat row 15: a stream ends when its caller is not allowed any longer what they were when they came.
func TestTail_endsWithTheGrant(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func() (query.Grant, error){
		"token taken back": func() (query.Grant, error) { return query.Grant{}, query.ErrUnauthenticated },
		"other tenant": func() (query.Grant, error) {
			return query.Grant{Principal: "x", Filters: []store.Filter{{Field: store.FieldTenantID, Values: []string{"acme"}}}}, nil
		},
	} {
		var changed atomic.Bool
		server := serveApp(t, storetest.NewMemory(), quick, func(o *query.Options) {
			o.Authorizer = query.AuthorizerFunc(func(*gin.Context, query.Operation) (query.Grant, error) {
				if changed.Load() {
					return after()
				}
				return query.Grant{Principal: "x"}, nil
			})
		})
		s := openStream(t, server, "", "", "")
		s.id()
		changed.Store(true)
		if id, ok := s.record(); ok {
			t.Errorf("%s: the stream goes on with %s", name, id)
		}
	}
}

// A stream outlives the time-outs of its server, and ends with Options.Done.
func TestTail_outlivesTimeouts_andEndsWithDone(t *testing.T) {
	t.Parallel()
	m := storetest.NewMemory()
	done := make(chan struct{})
	a := newApp(t, m, quick, func(o *query.Options) { o.Done = done })
	server := httptest.NewUnstartedServer(a.engine)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	s := openStream(t, server, rootToken, "", "")
	// More heartbeats than fit into the time-outs.
	for n := 0; n < 40 && s.lines.Scan(); {
		if strings.HasPrefix(s.lines.Text(), ": still") {
			n++
		}
	}
	fill(t, m, seed(1))
	s.expect(seed(1)[0].LogID)
	close(done)
	if id, ok := s.record(); ok {
		t.Errorf("the stream goes on with %s", id)
	}
}

func TestTail_wrongParameters(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(3)...))
	for _, tt := range []struct{ path, header, want string }{
		{"/stream/?after=no-checkpoint", "", "after invalid_checkpoint"},
		{"/stream/?after=%20x", "", "after invalid_checkpoint"},
		{"/stream/", "no-checkpoint", "Last-Event-ID invalid_checkpoint"},
		{"/stream/", strings.Repeat("x", 7000), "Last-Event-ID invalid_checkpoint"},
		{"/stream/?cursor=x", "", "cursor unknown_parameter"},
		{"/changes/?after=no-checkpoint", "", "after invalid_checkpoint"},
		{"/changes/?limit=0", "", "limit out_of_range"},
	} {
		var header []string
		if tt.header != "" {
			header = []string{"Last-Event-ID", tt.header}
		}
		w := a.get(rootToken, tt.path, header...)
		p := parse[query.Problem](t, w.Body)
		if w.Code != 400 || p.Errors[0].Param+" "+p.Errors[0].Code != tt.want {
			t.Errorf("%s: %d %+v, want %s", tt.path, w.Code, p, tt.want)
		}
	}
}

// Who follows the checkpoints of /changes/ gets every record of theirs, and no answer of it is recorded that
// shows nothing but such records.
func TestChanges(t *testing.T) {
	t.Parallel()
	all := seed(50)
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		if _, ok := s.(store.Feed); !ok {
			newApp(t, s).problem(t, http.StatusNotImplemented, rootToken, "/changes/")
			return
		}
		w := s.(store.Writer)
		a := newApp(t, s, func(o *query.Options) { o.Access.Recorder = query.AccessTo(w) })
		read := func(after string) changesBody {
			w := a.get(acmeToken, "/changes/?limit=7"+after)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return parse[changesBody](t, w.Body)
		}
		got, missing := map[string]bool{}, map[string]bool{}
		for _, r := range all {
			missing[r.LogID] = r.TenantID == "acme"
		}
		maps.DeleteFunc(missing, func(_ string, theirs bool) bool { return !theirs })
		after := ""
		empty := 0
		// On PostgreSQL a record comes when every transaction that began before it has ended, also those of others.
		deadline := time.Now().Add(2 * time.Minute)
		for rounds := 0; empty < 2 && (rounds < 200 || len(missing) > 0 && time.Now().Before(deadline)); rounds++ {
			c := read(after)
			after = "&after=" + url.QueryEscape(c.Next)
			for _, r := range c.Results {
				if r["tenant_id"] != "acme" {
					t.Errorf("acme sees %v", r)
				}
				got[fmt.Sprint(r["log_id"])] = true
				delete(missing, fmt.Sprint(r["log_id"]))
			}
			if r, ok := s.(interface{ Refresh(context.Context) error }); ok {
				if err := r.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if empty++; len(c.Results) > 0 || c.More || len(missing) > 0 {
				empty = 0
			}
		}
		if empty < 2 {
			t.Error("it never comes to an end: it finds its own questions")
		}
		for _, r := range all {
			if got[r.LogID] != (r.TenantID == "acme") {
				t.Errorf("%s of %s: seen %v", r.LogID, r.TenantID, got[r.LogID])
			}
		}
		if now := read("&after=now"); len(now.Results) != 0 || now.Next == "" {
			t.Errorf("now: %+v", now)
		}
	})
}

// Facets, users and histograms are what the search finds.
func TestCounts_areTheSearch(t *testing.T) {
	t.Parallel()
	all := seed(60)
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		if _, ok := s.(store.Faceter); !ok {
			for _, path := range []string{"/facets/", "/users/", "/users/1/", "/histogram/", "/count/"} {
				newApp(t, s).problem(t, http.StatusNotImplemented, rootToken, path)
			}
			return
		}
		a := newApp(t, s)
		var f struct {
			Facets map[string]struct {
				Values []struct {
					Value string
					Count int64
				}
				OtherCount int64 `json:"other_count"`
			}
		}
		if err := json.Unmarshal(a.get(acmeToken, "/facets/?object_type=order&fields=action,object_type,user_id").Body.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		for field, facet := range f.Facets {
			for _, v := range facet.Values {
				params := "?object_type=order&" + field + "=" + v.Value
				if field == "object_type" { // it ignores the filter on itself
					params = "?object_type=" + v.Value
				}
				if p := a.search(t, acmeToken, params); *p.Total != v.Count {
					t.Errorf("%s=%s: the facet says %d, the search %d", field, v.Value, v.Count, *p.Total)
				}
			}
		}
		if len(f.Facets) != 3 || len(f.Facets["object_type"].Values) != 2 {
			t.Errorf("the facets are %+v", f)
		}
		var users struct {
			Users []struct {
				UserID    string `json:"user_id"`
				Username  string
				Count     int64
				FirstSeen time.Time `json:"first_seen"`
				LastSeen  time.Time `json:"last_seen"`
			}
		}
		if err := json.Unmarshal(a.get(acmeToken, "/users/").Body.Bytes(), &users); err != nil || len(users.Users) != 3 {
			t.Fatalf("%+v %v", users, err)
		}
		for _, u := range users.Users {
			p := a.search(t, acmeToken, "?page_size=200&user_id="+u.UserID)
			if *p.Total != u.Count || u.LastSeen.Format(time.RFC3339) != p.Results[0]["timestamp"] || u.Username != p.Results[0]["username"] || u.FirstSeen.Format(time.RFC3339) != p.Results[len(p.Results)-1]["timestamp"] {
				t.Errorf("%+v, the search has %d", u, *p.Total)
			}
			var one struct {
				Count  int64
				Newest []map[string]any
				Facets map[string]any
			}
			if err := json.Unmarshal(a.get(acmeToken, "/users/"+u.UserID+"/").Body.Bytes(), &one); err != nil || one.Count != u.Count || len(one.Facets) != 3 || one.Newest[0]["log_id"] != p.Results[0]["log_id"] {
				t.Errorf("%s: %+v %v", u.UserID, one, err)
			}
		}
		a.problem(t, 404, acmeToken, "/users/nobody/")
		for params, want := range map[string]string{
			"/facets/?fields=nope": "fields invalid_value", "/facets/?fields=action,action": "fields repeated_parameter", "/facets/?fields=action,user_id&prefix=a": "prefix conflict",
			"/facets/?size=101": "size out_of_range", "/histogram/?interval=1d": "interval invalid_value", "/histogram/?by=user_id": "by invalid_value",
			"/histogram/?from_date=1990-01-01&to_date=2026-01-01&interval=minute": "interval out_of_range", "/count/?total=none": "total invalid_value",
		} {
			if p := a.problem(t, 400, acmeToken, params); p.Errors[0].Param+" "+p.Errors[0].Code != want {
				t.Errorf("%s: %+v", params, p.Errors)
			}
		}
	})
}

// What was changed from what to what can be found, exactly.
func TestSearch_change(t *testing.T) {
	t.Parallel()
	var s story
	s.add("CHANGE", nil, "status", `"NEW"`, `"OK"`)
	s.add("CHANGE", nil, "status", `"OK"`, `"GONE"`, "total", `1.50`, `null`)
	s.add("CHANGE", nil, "note", `""`, `"OK"`)
	s.records[2].Extra = map[string]any{"source": "a=b"}
	a := newApp(t, storetest.NewMemory(s.records...))
	for params, want := range map[string]string{
		"change_field=status": "s01 s00", "change_field=status&change_to=OK": "s00", "change_field=status&change_from=OK": "s01",
		"change_field=status&change_from=NEW&change_to=OK": "s00", "change_field=status&change_from=NEW&change_to=GONE": "",
		"change_field=total&change_from=1.50&change_to=null": "s01", "change_field=note&change_from=%22%22": "s02",
		"extra=source%3Da%3Db": "s02", "extra=source%3Dx": "",
	} {
		if got := strings.Join(ids(a.search(t, rootToken, "?"+params)), " "); got != want {
			t.Errorf("%s finds %q, want %q", params, got, want)
		}
	}
	for params, want := range map[string]string{
		"change_to=OK": "change_to conflict", "change_field=": "change_field empty_value", "change_field=a&change_to=": "change_to empty_value",
		"change_field=a&change_to=x&change_to=y": "change_to repeated_parameter", "extra=x": "extra invalid_value", "extra=%3Dx": "extra invalid_value",
	} {
		if p := a.problem(t, 400, rootToken, "/search/?"+params); p.Errors[0].Param+" "+p.Errors[0].Code != want {
			t.Errorf("%s: %+v", params, p.Errors)
		}
	}
}
