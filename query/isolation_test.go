package query_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// randomParams gives parameters that hit something often, also some of other tenants' values.
func randomParams(r *rand.Rand, all []event.Record) url.Values {
	values := url.Values{}
	pick := func() event.Record { return all[r.IntN(len(all))] }
	for range r.IntN(4) {
		rec := pick()
		name, v := "", ""
		switch r.IntN(9) {
		case 0:
			name, v = "user_id", rec.UserID
		case 1:
			name, v = "username", strings.ToUpper(rec.Username)
		case 2:
			name, v = "action", string(rec.Action)
		case 3:
			name, v = "object_type", rec.ObjectType
		case 4:
			name, v = "object_id", rec.ObjectID
		case 5:
			name, v = "tenant_id", rec.TenantID
		case 6:
			name, v = "log_id", rec.LogID
		case 7:
			name, v = "request_id", rec.RequestID
		case 8:
			name, v = "ip_address", rec.IPAddress
		}
		if r.IntN(4) == 0 {
			name = "not_" + name
		}
		values.Add(name, v)
	}
	if r.IntN(4) == 0 {
		values.Set("search_term", fmt.Sprintf("thing %d", r.IntN(6)))
	}
	if r.IntN(4) == 0 {
		values.Set("from_date", []string{"2026-11-23", "2026-11-24"}[r.IntN(2)])
	}
	if r.IntN(3) == 0 {
		values.Set("sort", []string{"timestamp", "-timestamp"}[r.IntN(2)])
	}
	values.Set("page_size", fmt.Sprint(1+r.IntN(60)))
	return values
}

// Threat row 15. For any mix of parameters: every record shown is the caller's own, on every page in
// both directions and in the total; and a tenant's answer is the answer to root with the tenant's
// filter.
func TestIsolation_noMixOfParameters_showsAForeignRecord(t *testing.T) {
	t.Parallel()
	all := seed(120)
	owner := map[string]string{}
	for _, r := range all {
		owner[r.LogID] = r.TenantID
	}
	eachStore(t, all, func(t *testing.T, s store.Searcher, real bool) {
		rounds := 100
		if real {
			rounds = 20
		}
		isolated(t, newApp(t, s), all, owner, rounds)
	})
}

func isolated(t *testing.T, a *app, all []event.Record, owner map[string]string, rounds int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	seen := 0
	for range rounds {
		values := randomParams(random, all)
		params := "?" + values.Encode()
		pages := a.walk(t, acmeToken, params, func(p page) *string { return p.Next })
		if last := pages[len(pages)-1]; last.Previous != nil {
			pages = append(pages, a.walk(t, acmeToken, *last.Previous, func(p page) *string { return p.Previous })...)
		}
		for _, p := range pages {
			for _, id := range ids(p) {
				seen++
				if owner[id] != "acme" {
					t.Fatalf("acme with %s sees %s of %s", params, id, owner[id])
				}
			}
		}
		// The same search by root, kept to the tenant by a filter of its own where there is none.
		if values.Has("tenant_id") || values.Has("not_tenant_id") {
			continue
		}
		values.Set("tenant_id", "acme")
		want := a.search(t, rootToken, "?"+values.Encode())
		if got := pages[0]; *got.Total != *want.Total || !slices.Equal(ids(got), ids(want)) {
			t.Fatalf("%s: acme gets %d %v, root with the filter %d %v", params, *got.Total, ids(got), *want.Total, ids(want))
		}
	}
	if seen < 3*rounds {
		t.Errorf("only %d records seen: the test hits too little", seen)
	}
	for id, tenant := range owner {
		want := http.StatusNotFound
		if tenant == "acme" {
			want = http.StatusOK
		}
		if w := a.get(acmeToken, "/detail/"+id); w.Code != want {
			t.Errorf("detail %s of %s: %d, want %d", id, tenant, w.Code, want)
		}
	}
}

func TestSearch_oneMoreFilter_neverAddsARecord(t *testing.T) {
	t.Parallel()
	all := seed(120)
	eachStore(t, all, func(t *testing.T, s store.Searcher, real bool) {
		rounds := 100
		if real {
			rounds = 20
		}
		narrowing(t, newApp(t, s), all, rounds)
	})
}

func narrowing(t *testing.T, a *app, all []event.Record, rounds int) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	for range rounds {
		values, more := randomParams(random, all), randomParams(random, all)
		values.Set("page_size", "200")
		whole := a.search(t, rootToken, "?"+values.Encode())
		for name, v := range more {
			if values.Has(name) { // one more value of the same filter is an OR
				continue
			}
			values[name] = v
			narrower := a.search(t, rootToken, "?"+values.Encode())
			if *narrower.Total > *whole.Total {
				t.Fatalf("%s=%v adds records to %s: %d, before %d", name, v, values.Encode(), *narrower.Total, *whole.Total)
			}
			for _, id := range ids(narrower) {
				if !slices.Contains(ids(whole), id) {
					t.Fatalf("%s=%v adds %s", name, v, id)
				}
			}
			values.Del(name)
		}
	}
}

// FuzzQueryParams: whatever the query string, the answer is 200 with own records, or 400 with a
// problem that names each parameter; never 5xx.
func FuzzQueryParams(f *testing.F) {
	for _, s := range []string{
		"", "user_id=1&action=create", "from_date=2024-01-01&to_date=2024-02-30", "search_term=%22a%22+b*&page_size=5", "cursor=AQ", "a=1;b", "%zz=%00",
		"from_offset=9999&page_size=2", "not_tenant_id=acme", "ip_address=::1%25eth0", "sort=timestamp&total=none", "page_size=1&page_size=2", "tenant_id=globex", "=0",
	} {
		f.Add(s)
	}
	all := seed(40)
	owner := map[string]string{}
	for _, r := range all {
		owner[r.LogID] = r.TenantID
	}
	a := newApp(f, storetest.NewMemory(all...))
	f.Fuzz(func(t *testing.T, query string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/search/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = query
		w := a.serve(r, acmeToken)
		switch w.Code {
		case http.StatusOK:
			for _, id := range ids(parse[page](t, w.Body)) {
				if owner[id] != "acme" {
					t.Fatalf("%q shows %s", query, id)
				}
			}
		case http.StatusBadRequest:
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%q: no JSON: %s", query, w.Body)
			}
			for _, e := range parse[problemBody](t, w.Body).Errors {
				if e.Param == "" || e.Code == "" || e.Detail == "" {
					t.Fatalf("%q: %+v", query, e)
				}
			}
		case http.StatusRequestURITooLong:
		default:
			t.Fatalf("%q gives %d: %s", query, w.Code, w.Body)
		}
	})
}

type problemBody struct {
	Errors []struct{ Param, Code, Detail string }
}

// FuzzCursor: nothing but a cursor that this service has made is taken, and nothing breaks.
func FuzzCursor(f *testing.F) {
	a := newApp(f, storetest.NewMemory(seed(40)...))
	real := *a.search(f, acmeToken, "?page_size=3").NextCursor
	f.Add(real)
	f.Add(real[:len(real)-1])
	f.Add("AQAA")
	f.Add(real + "=")
	f.Add(" " + real)
	f.Fuzz(func(t *testing.T, cursor string) {
		w := a.get(acmeToken, "/search/?cursor="+url.QueryEscape(cursor))
		switch {
		case cursor == real && w.Code == http.StatusOK:
		case cursor != real && (w.Code == http.StatusBadRequest || w.Code == http.StatusRequestURITooLong):
		default:
			t.Fatalf("%q gives %d: %s", cursor, w.Code, w.Body)
		}
	})
}
