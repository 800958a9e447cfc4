package query_test

import (
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

// walk follows the links from one page to the end.
func (a *app) walk(t testing.TB, token, params string, link func(page) *string) (pages []page) {
	t.Helper()
	for {
		p := a.search(t, token, params)
		pages = append(pages, p)
		next := link(p)
		if next == nil {
			return pages
		}
		if params = *next; len(pages) > 500 {
			t.Fatal("the pages never end")
		}
	}
}

func TestCursor_pagesJoined_areTheWholeSearch_bothWays(t *testing.T) {
	t.Parallel()
	eachStore(t, seed(97), func(t *testing.T, s store.Searcher, _ bool) { pagesJoined(t, newApp(t, s)) })
}

func pagesJoined(t *testing.T, a *app) {
	t.Helper()
	for _, params := range []string{"?page_size=7", "?page_size=1&object_type=order", "?page_size=7&sort=timestamp", "?page_size=200", "?page_size=97", "?page_size=10&action=add&action=delete"} {
		values, _ := url.ParseQuery(params[1:])
		values.Set("page_size", "200")
		whole := ids(a.search(t, rootToken, "?"+values.Encode()))

		forth := a.walk(t, rootToken, params, func(p page) *string { return p.Next })
		var got []string
		for _, p := range forth {
			got = append(got, ids(p)...)
		}
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("%s forward: %s", params, diff)
		}
		if forth[0].PrevCursor != nil || forth[len(forth)-1].NextCursor != nil {
			t.Errorf("%s: the ends have cursors beyond them", params)
		}
		if len(forth) == 1 {
			continue
		}
		back := a.walk(t, rootToken, *forth[len(forth)-1].Previous, func(p page) *string { return p.Previous })
		got = ids(forth[len(forth)-1])
		for _, p := range back {
			got = append(ids(p), got...)
		}
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("%s backward: %s", params, diff)
		}
		// A page back and forth again is the same page.
		if diff := cmp.Diff(ids(forth[1]), ids(a.search(t, rootToken, *back[len(back)-1].Next))); diff != "" && len(back[len(back)-1].Results) == len(forth[0].Results) {
			t.Errorf("%s back and forth: %s", params, diff)
		}
	}
}

func TestCursor_isStable_whenRecordsArrive(t *testing.T) {
	t.Parallel()
	all := seed(30)
	key := make([]byte, 32)
	withKey := func(o *query.Options) { o.CursorKey = key }
	before := newApp(t, storetest.NewMemory(all[:20]...), withKey)
	first := before.search(t, rootToken, "?page_size=5")
	after := newApp(t, storetest.NewMemory(all...), withKey) // another instance with the same key, too
	got := ids(after.search(t, rootToken, *first.Next))
	want := ids(before.search(t, rootToken, *first.Next))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCursor_afterAnOffset_goesOnBothWays(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(30)...))
	whole := ids(a.search(t, rootToken, "?page_size=30"))
	p := a.search(t, rootToken, "?page_size=5&from_offset=10")
	if diff := cmp.Diff(whole[10:15], ids(p)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(whole[15:20], ids(a.search(t, rootToken, *p.Next))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(whole[5:10], ids(a.search(t, rootToken, *p.Previous))); diff != "" {
		t.Error(diff)
	}
}

func TestCursor_linkHeader(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(30)...))
	first := a.search(t, rootToken, "?page_size=5&object_type=order")
	w := a.get(rootToken, "/search/"+*first.Next)
	links := w.Header().Values("Link")
	slices.Sort(links)
	if len(links) != 2 || !strings.HasSuffix(links[0]+links[1], `>; rel="next"`) && !strings.HasSuffix(links[1]+links[0], `>; rel="next"`) {
		t.Fatalf("Link: %v", links)
	}
	for _, l := range links {
		if !strings.HasPrefix(l, "<?") || !strings.Contains(l, "object_type=order") {
			t.Errorf("Link: %s", l)
		}
	}
}

func TestCursor_isRefused(t *testing.T) {
	t.Parallel()
	now := noon
	a := newApp(t, storetest.NewMemory(seed(30)...), func(o *query.Options) {
		o.Clock = func() time.Time { return now }
		o.CursorTTL = time.Hour
	})
	cursor := *a.search(t, acmeToken, "?page_size=5&user_id=1&user_id=2").NextCursor
	with := "?cursor=" + cursor
	if got := len(a.search(t, acmeToken, with+"&user_id=2&user_id=1&page_size=3").Results); got != 3 {
		t.Errorf("another order of values and page_size gives %d records", got)
	}
	flipped := []byte(cursor)
	flipped[30] ^= 1
	for _, tt := range []struct{ name, token, params, code string }{
		{"other filter", acmeToken, with + "&user_id=1", "cursor_mismatch"},
		{"filter excludes", acmeToken, with + "&not_user_id=1&not_user_id=2", "cursor_mismatch"},
		{"no filter", acmeToken, with, "cursor_mismatch"},
		{"text", acmeToken, with + "&user_id=1&user_id=2&search_term=x", "cursor_mismatch"},
		{"date", acmeToken, with + "&user_id=1&user_id=2&from_date=2026-11-01", "cursor_mismatch"},
		{"sort", acmeToken, with + "&user_id=1&user_id=2&sort=timestamp", "cursor_mismatch"},
		{"other tenant", globexToken, with + "&user_id=1&user_id=2", "cursor_mismatch"},
		{"no tenant", rootToken, with + "&user_id=1&user_id=2", "cursor_mismatch"},
		{"flipped bit", acmeToken, "?user_id=1&user_id=2&cursor=" + string(flipped), "invalid_cursor"},
		{"cut", acmeToken, "?user_id=1&user_id=2&cursor=" + cursor[:len(cursor)-4], "invalid_cursor"},
		{"empty", acmeToken, "?user_id=1&user_id=2&cursor=AAAA", "invalid_cursor"},
	} {
		if p := a.problem(t, http.StatusBadRequest, tt.token, "/search/"+tt.params); len(p.Errors) != 1 || p.Errors[0].Code != tt.code {
			t.Errorf("%s: %+v, want %s", tt.name, p.Errors, tt.code)
		}
	}
	other := newApp(t, storetest.NewMemory(seed(30)...))
	if p := other.problem(t, http.StatusBadRequest, acmeToken, "/search/"+with+"&user_id=1&user_id=2"); p.Errors[0].Code != "invalid_cursor" {
		t.Errorf("another key: %+v", p)
	}
	now = now.Add(time.Hour + time.Second)
	a.problem(t, http.StatusGone, acmeToken, "/search/"+with+"&user_id=1&user_id=2")
}

func TestCursor_ofAnotherGrant_isRefused(t *testing.T) {
	t.Parallel()
	key := make([]byte, 32)
	grants := []query.Grant{
		{Principal: "ann"},
		{Principal: "bob"},
		{Principal: "ann", Filters: []store.Filter{{Field: store.FieldTenantID, Values: []string{"acme"}}}},
		{Principal: "ann", Filters: []store.Filter{{Field: store.FieldTenantID, Values: []string{"acme"}, Not: true}}},
		{Principal: "ann", Hidden: []string{"ip_address"}},
	}
	var apps []*app
	var cursors []string
	for _, g := range grants {
		a := newApp(t, storetest.NewMemory(seed(30)...), func(o *query.Options) {
			o.CursorKey = key
			o.Authorizer, _ = query.BearerTokens(map[string]query.Grant{rootToken: g})
		})
		apps = append(apps, a)
		cursors = append(cursors, *a.search(t, rootToken, "?page_size=2").NextCursor)
	}
	for i, a := range apps {
		for j, c := range cursors {
			want := http.StatusBadRequest
			if i == j {
				want = http.StatusOK
			}
			if w := a.get(rootToken, "/search/?cursor="+c); w.Code != want {
				t.Errorf("grant %d with the cursor of grant %d: %d, want %d", i, j, w.Code, want)
			}
		}
	}
}

func TestCursor_keepsNanoseconds(t *testing.T) {
	t.Parallel()
	var records []event.Record
	for i := range 9 {
		r := seed(1)[0]
		r.LogID = string(rune('a' + i))
		r.Timestamp = noon.Add(time.Duration(i/3) * time.Nanosecond)
		records = append(records, r)
	}
	a := newApp(t, storetest.NewMemory(records...))
	var got []string
	for _, p := range a.walk(t, rootToken, "?page_size=2", func(p page) *string { return p.Next }) {
		got = append(got, ids(p)...)
	}
	if diff := cmp.Diff("ihgfedcba", strings.Join(got, "")); diff != "" {
		t.Error(diff)
	}
}
