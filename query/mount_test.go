package query_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func TestMount_badOptions_areAllNamed(t *testing.T) {
	t.Parallel()
	var noFunc query.AuthorizerFunc
	err := query.Mount(gin.New(), query.Options{
		Authorizer: noFunc, CursorKey: []byte("short"), CursorTTL: -1, Timeout: -2, MaxConcurrent: -3, MaxStreams: -4, ProblemBase: "not absolute",
	})
	if !errors.Is(err, query.ErrOptions) {
		t.Fatalf("Mount gives %v, want ErrOptions", err)
	}
	for _, want := range []string{
		"Options.Store is nil", "Options.Authorizer is nil", "Options.CursorKey has 5 bytes", "Options.CursorTTL is -1ns",
		"Options.Timeout is -2ns", "Options.MaxConcurrent is -3", "Options.MaxStreams is -4", `Options.ProblemBase is "not absolute"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestMount_takenRoute_isAnError(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.GET("/search", func(*gin.Context) {})
	if err := query.Mount(engine, query.Options{Store: storetest.NewMemory(), Authorizer: query.AllowAll("me")}); !errors.Is(err, query.ErrOptions) {
		t.Errorf("Mount gives %v, want ErrOptions", err)
	}
	if err := query.Mount(nil, query.Options{Store: storetest.NewMemory(), Authorizer: query.AllowAll("me")}); !errors.Is(err, query.ErrOptions) {
		t.Errorf("Mount on nil gives %v, want ErrOptions", err)
	}
}

// untouchable fails the test if the store is asked.
type untouchable struct{ t *testing.T }

func (u untouchable) Search(context.Context, store.Query) (store.Page, error) {
	u.t.Error("the store was asked to search")
	return store.Page{}, nil
}

func (u untouchable) Get(context.Context, string, ...store.Filter) (event.Record, error) {
	u.t.Error("the store was asked for a record")
	return event.Record{}, nil
}

// Threat row 16: whatever route is added to the package, it asks the Authorizer first.
func TestEveryRoute_asksTheAuthorizer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		grant  query.Grant
		err    error
		status int
	}{
		{"nobody", query.Grant{}, query.ErrUnauthenticated, 401},
		{"not allowed", query.Grant{}, query.ErrForbidden, 403},
		{"authorizer broken", query.Grant{Principal: "x"}, errors.New("secret: db down"), 503},
		{"no principal", query.Grant{}, nil, 500},
		{"unknown field", query.Grant{Principal: "x", Filters: []store.Filter{{Field: "tenant", Values: []string{"a"}}}}, nil, 500},
		{"unknown hidden field", query.Grant{Principal: "x", Hidden: []string{"salary"}}, nil, 500},
		{"filter without values", query.Grant{Principal: "x", Filters: []store.Filter{{Field: store.FieldTenantID}}}, nil, 403},
		{"exclusion without values", query.Grant{Principal: "x", Filters: []store.Filter{{Field: store.FieldTenantID, Not: true}}}, nil, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			a := newApp(t, untouchable{t}, func(o *query.Options) {
				o.Authorizer = query.AuthorizerFunc(func(*gin.Context, query.Operation) (query.Grant, error) {
					asked.Add(1)
					return tt.grant, tt.err
				})
			})
			routes := a.engine.Routes()
			if len(routes) < 19 {
				t.Fatalf("%d routes, want at least 19", len(routes))
			}
			for i, route := range routes {
				path := inPath(route.Path, anyRecord)
				w := httptest.NewRecorder()
				a.engine.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), route.Method, path, nil))
				if w.Code != tt.status {
					t.Errorf("%s %s gives %d, want %d", route.Method, path, w.Code, tt.status)
				}
				if strings.Contains(w.Body.String(), "secret") || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s answers %v %s", path, w.Header(), w.Body)
				}
				if int(asked.Load()) != i+1 {
					t.Errorf("%s %s did not ask the Authorizer", route.Method, path)
				}
			}
		})
	}
}

func TestBearerTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, storetest.NewMemory(seed(4)...))
	for name, tt := range map[string]struct {
		header string
		want   int
	}{
		"none":          {"", 401},
		"right":         {"Bearer " + rootToken, 200},
		"any case":      {"bearer " + rootToken, 200},
		"wrong":         {"Bearer " + rootToken + "x", 401},
		"prefix":        {"Bearer " + rootToken[:20], 401},
		"empty":         {"Bearer ", 401},
		"no scheme":     {rootToken, 401},
		"other scheme":  {"Basic " + rootToken, 401},
		"two in a line": {"Bearer " + rootToken + " " + acmeToken, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := a.get("", "/search/", "Authorization", tt.header)
			if w.Code != tt.want {
				t.Errorf("%q gives %d, want %d", tt.header, w.Code, tt.want)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got != "") != (tt.want == 401) {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}
}

func TestBearerTokens_badTokens_areAllNamed(t *testing.T) {
	t.Parallel()
	if _, err := query.BearerTokens(nil); !errors.Is(err, query.ErrOptions) {
		t.Errorf("no token gives %v", err)
	}
	_, err := query.BearerTokens(map[string]query.Grant{
		"short":                 {Principal: "ann"},
		"with blanks in it 012": {Principal: "bob"},
		"long-enough-012345678": {},
	})
	if !errors.Is(err, query.ErrOptions) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"ann" has 5 bytes`, `"bob" has characters`, "Principal is empty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), "blanks") {
		t.Errorf("the error has a token: %v", err)
	}
}

// held is a store that answers when it is let go.
type held struct {
	*storetest.Memory
	entered, release chan struct{}
}

func (h held) Search(ctx context.Context, q store.Query) (store.Page, error) {
	h.entered <- struct{}{}
	select {
	case <-h.release:
		return h.Memory.Search(ctx, q)
	case <-ctx.Done():
		return store.Page{}, ctx.Err()
	}
}

func TestSearch_tooManyAtOnce_onlyThatPrincipalIsRefused(t *testing.T) {
	t.Parallel()
	s := held{storetest.NewMemory(seed(4)...), make(chan struct{}), make(chan struct{})}
	a := newApp(t, s, func(o *query.Options) { o.MaxConcurrent = 1 })
	var wg sync.WaitGroup
	wg.Go(func() { a.get(acmeToken, "/search/") })
	<-s.entered
	w := a.get(acmeToken, "/search/")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the second request gives %d %v, want 429 with Retry-After", w.Code, w.Header())
	}
	wg.Go(func() {
		if w := a.get(globexToken, "/search/"); w.Code != 200 {
			t.Errorf("another principal gets %d", w.Code)
		}
	})
	<-s.entered
	close(s.release)
	wg.Wait()
	go func() { <-s.entered }()
	if w := a.get(acmeToken, "/search/"); w.Code != 200 {
		t.Errorf("after the first has ended: %d", w.Code)
	}
}

func TestSearch_slowStore_is504(t *testing.T) {
	t.Parallel()
	s := held{storetest.NewMemory(), make(chan struct{}, 1), nil}
	a := newApp(t, s, func(o *query.Options) { o.Timeout = time.Millisecond })
	a.problem(t, http.StatusGatewayTimeout, rootToken, "/search/")
}

// broken is a store that fails.
type broken struct{ err error }

func (b broken) Search(context.Context, store.Query) (store.Page, error) {
	return store.Page{}, b.err
}

func (b broken) Get(context.Context, string, ...store.Filter) (event.Record, error) {
	return event.Record{}, b.err
}

func TestStoreErrors_haveTheirStatus_andStayInTheLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cause  error
		status int
	}{
		{store.ErrUnavailable, 503},
		{context.DeadlineExceeded, 504},
		{store.ErrQuery, 400},
		{errors.New("other"), 500},
	} {
		a := newApp(t, broken{errors.Join(errors.New("index secret-7 at 10.1.2.3"), tt.cause)})
		for _, path := range []string{"/search/", "/detail/1/"} {
			w := a.get(rootToken, path)
			if w.Code != tt.status {
				t.Errorf("%v: GET %s gives %d, want %d", tt.cause, path, w.Code, tt.status)
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "10.1.2.3") {
				t.Errorf("%v: the answer has the store's text: %s", tt.cause, w.Body)
			}
		}
		if !strings.Contains(a.logs.String(), "secret-7") {
			t.Errorf("%v: not in the log: %s", tt.cause, a.logs)
		}
	}
	a := newApp(t, broken{store.ErrNotFound})
	a.problem(t, http.StatusNotFound, rootToken, "/detail/1/")
}

func TestLongURL_is414(t *testing.T) {
	t.Parallel()
	a := newApp(t, untouchable{t})
	a.problem(t, http.StatusRequestURITooLong, rootToken, "/search/?user_id="+strings.Repeat("x", query.MaxURLLength))
}
