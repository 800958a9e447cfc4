package query_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func TestSearch_answer(t *testing.T) {
	t.Parallel()
	now := noon
	a := newApp(t, storetest.NewMemory(seed(3)...), func(o *query.Options) { o.Clock = func() time.Time { return now } })
	w := a.get(rootToken, "/search/?page_size=2&from_offset=1")
	want := `{"results":[` +
		`{"log_id":"00000000-0000-7000-8000-000000007919","timestamp":"2026-11-23T12:01:00Z","user_id":"1","username":"bob","full_name":"Bob Ray","action":"CHANGE","object_type":"customer","object_id":"0","object_repr":"Thing 0"},` +
		`{"log_id":"00000000-0000-7000-8000-000000000000","timestamp":"2026-11-23T12:00:00Z","user_id":"0","username":"ann","full_name":"Ann Lee","action":"ADD","object_type":"customer","object_id":"0","object_repr":"Thing 0"}],` +
		`"page_size":2,"from_offset":1,"total":3,"total_relation":"eq","next_cursor":null,"prev_cursor":`
	if got := w.Body.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := w.Body.String(); !strings.Contains(got, `"window":{"from":null,"to":null,"tz":"UTC"},"took_ms":0}`) {
		t.Errorf("got %s", got)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	for _, path := range []string{"/search", "/search/"} {
		if w := a.get(rootToken, path); w.Code != 200 {
			t.Errorf("GET %s gives %d", path, w.Code)
		}
	}
}

func TestSearch_nothing_isAnEmptyList(t *testing.T) {
	t.Parallel()
	w := newApp(t, storetest.NewMemory()).get(rootToken, "/search/")
	if got := w.Body.String(); w.Code != 200 || !strings.HasPrefix(got, `{"results":[],"page_size":20,"from_offset":0,"total":0,"total_relation":"eq","next_cursor":null,"prev_cursor":null,"next":null,"previous":null,`) {
		t.Errorf("%d %s", w.Code, got)
	}
}

func TestSearch_filters(t *testing.T) {
	t.Parallel()
	all := seed(60)
	tests := []struct {
		params string
		match  func(r event.Record) bool
	}{
		{"", func(event.Record) bool { return true }},
		{"user_id=1", func(r event.Record) bool { return r.UserID == "1" }},
		{"user_id=1&user_id=2", func(r event.Record) bool { return r.UserID != "0" }},
		{"not_user_id=1&not_user_id=2", func(r event.Record) bool { return r.UserID == "0" }},
		{"username=chi", func(r event.Record) bool { return r.Username == "Chi" }},
		{"action=CREATE", func(r event.Record) bool { return r.Action == event.ActionAdd }},
		{"action=update&action=Delete", func(r event.Record) bool { return r.Action == "CHANGE" || r.Action == "DELETE" }},
		{"action=approve", func(r event.Record) bool { return r.Action == "APPROVE" }},
		{"object_type=Customer&object_id=3", func(r event.Record) bool { return r.ObjectType == "customer" && r.ObjectID == "3" }},
		{"search_term=THING+4", func(r event.Record) bool { return r.ObjectID == "4" }},
		{"ip_address=10.0.0.2&request_id=r4", func(r event.Record) bool { return r.IPAddress == "10.0.0.2" && r.RequestID == "r4" }},
		{"tenant_id=acme&not_object_type=order", func(r event.Record) bool { return r.TenantID == "acme" && r.ObjectType != "order" }},
		{"object_id=no", func(event.Record) bool { return false }},
	}
	eachStore(t, all, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s)
		for _, tt := range tests {
			p := a.search(t, rootToken, "?page_size=200&"+tt.params)
			var want []string
			for _, r := range all {
				if tt.match(r) {
					want = append(want, r.LogID)
				}
			}
			if diff := cmp.Diff(sorted(want), sorted(ids(p))); diff != "" || *p.Total != int64(len(want)) {
				t.Errorf("%s (total %d): %s", tt.params, *p.Total, diff)
			}
		}
	})
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestSearch_days_areThoseOfTheZone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone, from, to string
		wantFrom       string
		wantTo         string
	}{
		{"Asia/Ho_Chi_Minh", "2026-11-01", "2026-11-30", "2026-10-31T17:00:00Z", "2026-11-30T17:00:00Z"},
		{"UTC", "2024-02-29", "2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		// Clocks go forward at 02:00 and back at 03:00: days of 23 and 25 hours.
		{"Europe/Berlin", "2026-03-29", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"Europe/Berlin", "2026-10-25", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		// The clock goes from 24:00 to 01:00, so the day begins at 01:00 local time.
		{"America/Santiago", "2025-09-07", "2025-09-07", "2025-09-07T04:00:00Z", "2025-09-08T03:00:00Z"},
		// The clock goes back from 24:00 to 23:00: midnight is the second one.
		{"America/Santiago", "2025-04-06", "2025-04-06", "2025-04-06T04:00:00Z", "2025-04-07T04:00:00Z"},
		{"America/Havana", "2025-11-02", "2025-11-02", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"},
		{"UTC", "1900-01-01", "9998-12-31", "1900-01-01T00:00:00Z", "9999-01-01T00:00:00Z"},
	} {
		loc, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(t, storetest.NewMemory(), func(o *query.Options) { o.Location = loc })
		p := a.search(t, rootToken, "?from_date="+tt.from+"&to_date="+tt.to)
		if got := p.Window.From.Format(time.RFC3339); got != tt.wantFrom || p.Window.TZ != tt.zone {
			t.Errorf("%s from %s is %s in %s, want %s", tt.zone, tt.from, got, p.Window.TZ, tt.wantFrom)
		}
		if got := p.Window.To.Format(time.RFC3339); got != tt.wantTo {
			t.Errorf("%s to %s is %s, want %s", tt.zone, tt.to, got, tt.wantTo)
		}
	}
}

func TestSearch_dayEdges_areInside(t *testing.T) {
	t.Parallel()
	loc, err := time.LoadLocation("Asia/Ho_Chi_Minh")
	if err != nil {
		t.Fatal(err)
	}
	var records []event.Record
	for i, at := range []string{"2026-11-22T16:59:59.999999Z", "2026-11-22T17:00:00Z", "2026-11-23T16:59:59.999999Z", "2026-11-23T17:00:00Z"} {
		r := seed(1)[0]
		r.LogID = fmt.Sprint(i)
		r.Timestamp, _ = time.Parse(time.RFC3339Nano, at)
		records = append(records, r)
	}
	eachStore(t, records, func(t *testing.T, s store.Searcher, _ bool) {
		a := newApp(t, s, func(o *query.Options) { o.Location = loc })
		for params, want := range map[string][]string{
			"?from_date=2026-11-23&to_date=2026-11-23": {"2", "1"},
			"?from_date=2026-11-23":                    {"3", "2", "1"},
			"?to_date=2026-11-23&sort=timestamp":       {"0", "1", "2"},
		} {
			if diff := cmp.Diff(want, ids(a.search(t, rootToken, params))); diff != "" {
				t.Errorf("%s: %s", params, diff)
			}
		}
	})
}

func TestSearch_wrongParameters(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	long := strings.Repeat("x", 600)
	many := strings.TrimSuffix(strings.Repeat("w+", 17), "+")
	values := url.Values{}
	for i := range 101 {
		values.Add("user_id", fmt.Sprint(i))
	}
	for _, tt := range []struct{ params, want string }{
		{"userid=1", "userid unknown_parameter"},
		{"a%00b=1", `"a\x00b" unknown_parameter`},
		{"from_date=2024-13-01", "from_date invalid_date"},
		{"from_date=2023-02-29", "from_date invalid_date"},
		{"from_date=2024-1-1", "from_date invalid_date"},
		{"from_date=2024-01-01T00:00:00Z", "from_date invalid_date"},
		{"to_date=1899-12-31", "to_date invalid_date"},
		{"to_date=9999-12-31", "to_date invalid_date"},
		{"from_date=", "from_date empty_value"},
		{"from_date=2024-01-02&to_date=2024-01-01", "from_date invalid_range"},
		{"to_date=2024-01-01&to_date=2024-01-01", "to_date repeated_parameter"},
		{"page_size=0", "page_size out_of_range"},
		{"page_size=201", "page_size out_of_range"},
		{"page_size=ten", "page_size invalid_value"},
		{"page_size=%2B5", "page_size invalid_value"},
		{"page_size=99999999999999999999", "page_size invalid_value"},
		{"page_size=1&page_size=2", "page_size repeated_parameter"},
		{"from_offset=-1", "from_offset out_of_range"},
		{"from_offset=9981", "from_offset out_of_range"},
		{"from_offset=10000&page_size=1", "from_offset out_of_range"},
		{"from_offset=0&cursor=x", "from_offset conflict"},
		{"cursor=x", "cursor invalid_cursor"},
		{"cursor=", "cursor empty_value"},
		{"sort=name", "sort invalid_value"},
		{"total=exact", "total invalid_value"},
		{"user_id=", "user_id empty_value"},
		{"user_id=a%00", "user_id invalid_value"},
		{"user_id=%ff", "user_id invalid_value"},
		{"user_id=" + long, "user_id too_long"},
		{"ip_address=10.0.0", "ip_address invalid_value"},
		{values.Encode(), "user_id too_many_values"},
		{"search_term=+", "search_term empty_value"},
		{"search_term=" + strings.Repeat("x", 257), "search_term too_long"},
		{"search_term=" + many, "search_term too_many_values"},
		{"search_term=%25+-", "search_term invalid_value"},
		{"search_term=a%00b", "search_term invalid_value"},
		{"search_term=%c3", "search_term invalid_value"},
		{"search_term=a&search_term=b", "search_term repeated_parameter"},
		{"user_id=%zz", "(query) invalid_value"},
		{"a=1;b=2", "(query) invalid_value"},
		{"b=1&a=1&page_size=x&from_date=y", "a unknown_parameter, b unknown_parameter, from_date invalid_date, page_size invalid_value"},
	} {
		p := a.problem(t, http.StatusBadRequest, rootToken, "/search/?"+tt.params)
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Param+" "+e.Code)
			if e.Detail == "" || e.Allowed == "" || len(e.Detail) > 200 {
				t.Errorf("%s: %+v does not help", tt.params, e)
			}
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%.80s: %s", tt.params, diff)
		}
	}
	if p := a.problem(t, http.StatusBadRequest, rootToken, "/search/?from_offset=9999"); !strings.Contains(p.Errors[0].Allowed, "cursor") {
		t.Errorf("a too deep offset does not say what to use instead: %+v", p)
	}
}

func TestSearch_totalNone(t *testing.T) {
	t.Parallel()
	if p := newApp(t, storetest.NewMemory(seed(3)...)).search(t, rootToken, "?total=none"); p.Total != nil || p.TotalRelation != "" {
		t.Errorf("got total %d %q", *p.Total, p.TotalRelation)
	}
}

func TestSearch_hiddenFields(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(3)...))
	for _, r := range a.search(t, hiddenToken, "").Results {
		if _, has := r["user_id"]; has || r["username"] == "" {
			t.Errorf("got %v", r)
		}
	}
	for _, params := range []string{"?user_id=1", "?not_user_id=1", "?ip_address=10.0.0.1", "?search_term=ann"} {
		if p := a.problem(t, http.StatusBadRequest, hiddenToken, "/search/"+params); p.Errors[0].Code != "hidden_field" {
			t.Errorf("%s: %+v", params, p)
		}
	}
}
