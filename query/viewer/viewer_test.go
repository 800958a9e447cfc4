package viewer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/viewer"
	"github.com/gormtrail/audit/store"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

const (
	token      = "viewer-test-token-0123456789"
	otherToken = "viewer-other-token-0123456789"
)

// single is a store of one record.
type single struct{}

var record = event.Record{LogID: "1", Timestamp: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Action: event.ActionAdd, ObjectType: "customer", ObjectID: "42"}

func (single) Search(context.Context, store.Query) (store.Page, error) {
	return store.Page{Records: []event.Record{record}, Total: 1, TotalExact: true}, nil
}

func (single) Get(_ context.Context, id string, _ ...store.Filter) (event.Record, error) {
	if id != record.LogID {
		return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, id)
	}
	return record, nil
}

func options(t testing.TB) viewer.Options {
	t.Helper()
	a, err := query.BearerTokens(map[string]query.Grant{token: {Principal: "ann"}, otherToken: {Principal: "bob"}})
	if err != nil {
		t.Fatal(err)
	}
	return viewer.Options{Query: query.Options{Store: single{}, Authorizer: a, Logger: slog.New(slog.DiscardHandler)}}
}

func mount(t testing.TB, change ...func(*viewer.Options)) *gin.Engine {
	t.Helper()
	o := options(t)
	for _, c := range change {
		c(&o)
	}
	engine := gin.New()
	if err := viewer.Mount(engine.Group("/audit"), o); err != nil {
		t.Fatal(err)
	}
	return engine
}

// do sends a request with a body and a header: names and values in turns.
func do(engine http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return w
}

// signIn gives the cookie of a new session.
func signIn(t testing.TB, engine http.Handler, header ...string) *http.Cookie {
	t.Helper()
	w := do(engine, http.MethodPost, "/audit/session", `{"token":"`+token+`"}`, append([]string{"Content-Type", "application/json"}, header...)...)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusNoContent || len(cookies) != 1 {
		t.Fatalf("POST /session gives %d, %d cookies: %s", w.Code, len(cookies), w.Body)
	}
	return cookies[0]
}

func TestMount_badOptions_areAllNamed(t *testing.T) {
	t.Parallel()
	err := viewer.Mount(gin.New(), viewer.Options{SessionKey: []byte("short"), SessionTTL: -1, SignInURL: "javascript:alert(1)"})
	if !errors.Is(err, query.ErrOptions) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"Options.Store is nil", "Options.Authorizer is nil", "SessionKey has 5 bytes", "SessionTTL is -1ns", `SignInURL is "javascript:alert(1)"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	for _, bad := range []string{"login", "//[", "data:x"} {
		o := options(t)
		o.SignInURL = bad
		if err := viewer.Mount(gin.New(), o); !errors.Is(err, query.ErrOptions) {
			t.Errorf("SignInURL %q gives %v", bad, err)
		}
	}
	if err := viewer.Mount(nil, options(t)); !errors.Is(err, query.ErrOptions) {
		t.Errorf("no router gives %v", err)
	}
}

func TestMount_twice_isAnError(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	if err := viewer.Mount(engine.Group("/audit"), options(t)); !errors.Is(err, query.ErrOptions) {
		t.Errorf("got %v", err)
	}
	if err := viewer.Mount(engine.Group("/second"), options(t)); err != nil {
		t.Errorf("a second viewer under another path: %v", err)
	}
	if err := viewer.Mount(gin.New(), options(t)); err != nil {
		t.Errorf("at the root: %v", err)
	}
}

func TestPage_isTheSameForEverybody_withStrictHeaders(t *testing.T) {
	t.Parallel()
	engine := mount(t, func(o *viewer.Options) {
		o.Title = `<script>alert("&")</script>`
		o.Query.Location = time.FixedZone("Asia/Test", 7*3600)
		o.SignInURL = `/login?next="><script>`
	})
	w := do(engine, http.MethodGet, "/audit/?user_id=1", "")
	body := w.Body.String()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; " +
			"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	if strings.Contains(body, "<script>") || strings.Contains(body, `next="`) || !strings.Contains(body, "&lt;script&gt;") || !strings.Contains(body, `data-zone="Asia/Test"`) {
		t.Errorf("options reach the page as markup: %s", body)
	}
	if regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\son\w+=|\sstyle=|https?://`).MatchString(body) {
		t.Errorf("the page has inline script or style, or something from elsewhere: %s", body)
	}
	if w := do(engine, http.MethodGet, "/audit/", "", "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("with its tag: %d", w.Code)
	}
}

func TestPage_withoutLastSlash_redirects(t *testing.T) {
	t.Parallel()
	w := do(mount(t), http.MethodGet, "/audit?user_id=7", "")
	if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != "./audit/?user_id=7" {
		t.Errorf("%d %s", w.Code, got)
	}
	engine := gin.New()
	if err := viewer.Mount(engine.Group("/of/:tenant"), options(t)); err != nil {
		t.Fatal(err)
	}
	if got := do(engine, http.MethodGet, "/of/a%20b", "").Header().Get("Location"); got != "./a%20b/" {
		t.Errorf("under a path with a parameter: %s", got)
	}
}

func TestAssets_areThoseOfThePage_andSmall(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	page := do(engine, http.MethodGet, "/audit/", "").Body.String()
	refs := regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(refs) < 3 {
		t.Fatalf("the page refers to %v", refs)
	}
	dir := path.Dir(refs[0][1])
	total := len(page)
	names, err := fs.Glob(os.DirFS("assets"), "*")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		w := do(engine, http.MethodGet, "/audit/"+dir+"/"+name, "")
		want := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json; charset=utf-8"}[path.Ext(name)]
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		total += w.Body.Len()
		text := w.Body.String()
		for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage", "sessionStorage", "http://", "https://"} {
			if strings.Contains(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), sink) {
				t.Errorf("%s has %s", name, sink)
			}
		}
		for _, m := range regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("assets/" + m[1]); err != nil {
				t.Errorf("%s imports %s, which is not there", name, m[1])
			}
		}
	}
	if total > 150<<10 {
		t.Errorf("the page and its assets have %d bytes, want at most %d", total, 150<<10)
	}
	for _, missing := range []string{dir + "/no.js", "assets/0000/app.js", dir + "/..%2findex.html"} {
		if w := do(engine, http.MethodGet, "/audit/"+missing, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", missing, w.Code)
		}
	}
}

func TestAPI_withoutSession_asksTheAuthorizer(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	data := 0
	for _, route := range engine.Routes() {
		if strings.TrimSuffix(route.Path, "/") == "/audit/session" && route.Method != http.MethodGet || route.Path == "/audit" || route.Path == "/audit/" || strings.HasPrefix(route.Path, "/audit/assets/") {
			continue // the page itself, and signing in and out
		}
		data++
		target := strings.NewReplacer(":log_id", "1", ":object_type", "customer", ":object_id", "1", ":batch_id", "1", ":user_id", "1").Replace(route.Path)
		if w := do(engine, route.Method, target, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", target, w.Code)
		}
		if w := do(engine, route.Method, target, "", "Authorization", "Bearer "+token, "Last-Event-ID", "none"); w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
			t.Errorf("%s with a token: %d %s", target, w.Code, w.Body)
		}
	}
	if data < 20 {
		t.Errorf("%d routes with data, want at least 20", data)
	}
}

func TestSession_wholeLife(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	cookie := signIn(t, engine)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "" || cookie.Domain != "" || time.Until(cookie.Expires) > 8*time.Hour {
		t.Errorf("the cookie is %+v", cookie)
	}
	if strings.Contains(cookie.Value, token) || strings.Contains(cookie.Value, "token") {
		t.Error("the cookie shows the token")
	}
	with := cookie.Name + "=" + cookie.Value
	for _, target := range []string{"/audit/api/search/", "/audit/api/detail/1/", "/audit/session"} {
		if w := do(engine, http.MethodGet, target, "", "Cookie", with); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if got := do(engine, http.MethodGet, "/audit/session", "", "Cookie", with).Body.String(); got != "{\"principal\":\"ann\",\"session\":true}\n" {
		t.Errorf("session: %s", got)
	}
	if got := do(engine, http.MethodGet, "/audit/session", "", "Cookie", with, "Authorization", "Bearer "+otherToken).Body.String(); !strings.Contains(got, "bob") {
		t.Errorf("a header of the caller's own does not win: %s", got)
	}
	w := do(engine, http.MethodDelete, "/audit/session", "", "Cookie", with)
	if c := w.Result().Cookies(); w.Code != http.StatusNoContent || len(c) != 1 || c[0].Expires.After(time.Now()) || c[0].Value != "" {
		t.Errorf("signing out: %d %v", w.Code, c)
	}
	if w := do(engine, http.MethodGet, "/audit/api/search/", "", "Cookie", with); w.Code != http.StatusUnauthorized {
		t.Errorf("a copy of the cookie after signing out: %d", w.Code)
	}
}

func TestSession_isRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	engine := mount(t, func(o *viewer.Options) {
		o.Query.Clock = func() time.Time { return now }
		o.SessionTTL = time.Hour
	})
	cookie := signIn(t, engine)
	get := func(value string, header ...string) int {
		return do(engine, http.MethodGet, "/audit/api/search/", "", append([]string{"Cookie", cookie.Name + "=" + value}, header...)...).Code
	}
	flipped := []byte(cookie.Value)
	flipped[20] ^= 1
	other := signIn(t, mount(t))
	for name, value := range map[string]string{"flipped": string(flipped), "cut": cookie.Value[:len(cookie.Value)-2], "empty": "", "of another key": other.Value, "the token itself": token} {
		if got := get(value); got != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
	for _, site := range []string{"cross-site", "same-site"} {
		if got := get(cookie.Value, "Sec-Fetch-Site", site); got != http.StatusUnauthorized {
			t.Errorf("from %s: %d", site, got)
		}
	}
	for _, site := range []string{"same-origin", "none"} {
		if got := get(cookie.Value, "Sec-Fetch-Site", site); got != http.StatusOK {
			t.Errorf("from %s: %d", site, got)
		}
	}
	now = now.Add(time.Hour)
	if got := get(cookie.Value); got != http.StatusUnauthorized {
		t.Errorf("expired: %d", got)
	}
}

func TestSession_withTheSameKey_isGoodInEachInstance(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte("k"), 32)
	withKey := func(o *viewer.Options) { o.SessionKey = key }
	cookie := signIn(t, mount(t, withKey))
	if w := do(mount(t, withKey), http.MethodGet, "/audit/api/search/", "", "Cookie", cookie.Name+"="+cookie.Value); w.Code != http.StatusOK {
		t.Errorf("another instance: %d", w.Code)
	}
}

func TestSession_ofARevokedToken_isWorthless(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte("k"), 32)
	cookie := signIn(t, mount(t, func(o *viewer.Options) { o.SessionKey = key }))
	later := mount(t, func(o *viewer.Options) {
		o.SessionKey = key
		o.Query.Authorizer, _ = query.BearerTokens(map[string]query.Grant{otherToken: {Principal: "bob"}})
	})
	if w := do(later, http.MethodGet, "/audit/api/search/", "", "Cookie", cookie.Name+"="+cookie.Value); w.Code != http.StatusUnauthorized {
		t.Errorf("got %d", w.Code)
	}
}

func TestSignIn_isRefused(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	const json = "application/json"
	body := `{"token":"` + token + `"}`
	for _, tt := range []struct {
		name, kind, body string
		header           []string
		want             int
	}{
		{"wrong token", json, `{"token":"` + token + `x"}`, nil, 401},
		{"empty token", json, `{"token":""}`, nil, 401},
		{"line break", json, `{"token":"a\nb"}`, nil, 401},
		{"long token", json, `{"token":"` + strings.Repeat("x", 3000) + `"}`, nil, 401},
		{"form", "application/x-www-form-urlencoded", "token=" + token, nil, 415},
		{"text", "text/plain", body, nil, 415},
		{"no type", "", body, nil, 415},
		{"no JSON", json, "token", nil, 400},
		{"two values", json, body + body, nil, 400},
		{"other member", json, `{"token":"x","a":1}`, nil, 400},
		{"huge", json, `{"token":"` + strings.Repeat("x", 9000) + `"}`, nil, 400},
		{"other site", json, body, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"sibling site", json, body, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"other origin", json, body, []string{"Origin", "https://evil.example"}, 403},
		{"opaque origin", json, body, []string{"Origin", "null"}, 403},
	} {
		w := do(engine, http.MethodPost, "/audit/session", tt.body, append([]string{"Content-Type", tt.kind}, tt.header...)...)
		if w.Code != tt.want || len(w.Result().Cookies()) != 0 || w.Header().Get("Content-Type") != "application/problem+json; charset=utf-8" {
			t.Errorf("%s: %d %v %s", tt.name, w.Code, w.Header(), w.Body)
		}
		if strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: the answer has the token", tt.name)
		}
	}
	if w := do(engine, http.MethodDelete, "/audit/session", "", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("signing out from another site: %d", w.Code)
	}
}

func TestSignIn_overHTTPS_givesASecureCookie(t *testing.T) {
	t.Parallel()
	engine := mount(t)
	for origin, want := range map[string]bool{"https://example.com": true, "http://example.com": false} {
		if got := signIn(t, engine, "Origin", origin).Secure; got != want {
			t.Errorf("from %s: Secure is %t", origin, got)
		}
	}
}

func TestSignIn_authorizerDown_is503(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{errors.New("secret"): 503, query.ErrForbidden: 403} {
		engine := mount(t, func(o *viewer.Options) {
			o.Query.Authorizer = query.AuthorizerFunc(func(*gin.Context, query.Operation) (query.Grant, error) { return query.Grant{}, err })
		})
		w := do(engine, http.MethodPost, "/audit/session", `{"token":"`+token+`"}`, "Content-Type", "application/json")
		if w.Code != want || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}
