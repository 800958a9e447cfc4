package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/oidc"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// provider is an OpenID Connect provider with keys that can be rotated.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	keys  map[string]any // by kid
	asked int
	down  bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{keys: map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/a", "token_endpoint": p.URL + "/t"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		list := []map[string]string{}
		for kid, key := range p.keys {
			switch k := key.(type) {
			case *rsa.PrivateKey:
				list = append(list, map[string]string{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())})
			case *ecdsa.PrivateKey:
				point, _ := k.PublicKey.ECDH()
				raw := point.Bytes()[1:]
				list = append(list, map[string]string{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": b64(raw[:32]), "y": b64(raw[32:])})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return p
}

func (p *provider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// claims gives those of a good token, changed.
func (p *provider) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": p.URL, "aud": "audit-api", "sub": "ann", "tenant": "acme", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	for name, v := range change {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t *testing.T, alg, kid string, claims map[string]any, key any) string {
	t.Helper()
	header, _ := json.Marshal(map[string]string{"alg": alg, "kid": kid, "typ": "JWT"})
	body, _ := json.Marshal(claims)
	signed := b64(header) + "." + b64(body)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, k, sum[:])
		if err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(signature)
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// clock can be set forward.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func serve(t *testing.T, p *provider, c *clock, change ...func(*oidc.Config)) func(token string) int {
	t.Helper()
	cfg := oidc.Config{
		Issuer: p.URL, Audience: "audit-api", Clock: c.now, Logger: slog.New(slog.DiscardHandler),
		Grant: oidc.Mapping{Filters: map[store.Field]string{store.FieldTenantID: "tenant"}}.Grant,
	}
	for _, f := range change {
		f(&cfg)
	}
	a, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	if err := query.Mount(engine.Group("/api"), query.Options{Store: storetest.NewMemory(), Authorizer: a, CursorKey: make([]byte, 32), Logger: cfg.Logger}); err != nil {
		t.Fatal(err)
	}
	return func(token string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/search/", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), p.URL) {
			t.Errorf("the answer names the provider: %s", w.Body)
		}
		return w.Code
	}
}

// Threat row 16: only a token that the provider has signed for us, and that is valid now, is taken.
func TestAuthorizer_tokens(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	key, other := rsaKey(t), rsaKey(t)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.keys["r"], p.keys["e"] = key, ec
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	good := sign(t, "RS256", "r", p.claims(nil), key)
	parts := strings.Split(good, ".")
	none := b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	get := serve(t, p, &clock{t: now})
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"RSA":                 {good, 200},
		"elliptic curve":      {sign(t, "ES256", "e", p.claims(nil), ec), 200},
		"several audiences":   {sign(t, "RS256", "r", p.claims(map[string]any{"aud": []string{"x", "audit-api"}}), key), 200},
		"no token":            {"", 401},
		"no JWT":              {"abc", 401},
		"alg none":            {none, 401},
		"alg None":            {b64([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".", 401},
		"HMAC by public key":  {sign(t, "HS256", "r", p.claims(nil), secret), 401},
		"HMAC by DER":         {sign(t, "HS256", "r", p.claims(nil), public), 401},
		"HMAC named RS256":    {sign(t, "RS256", "r", p.claims(nil), secret), 401},
		"RSA named ES256":     {sign(t, "ES256", "r", p.claims(nil), key), 401},
		"alg not in the list": {sign(t, "PS256", "r", p.claims(nil), key), 401},
		"foreign key":         {sign(t, "RS256", "r", p.claims(nil), other), 401},
		"changed claims":      {parts[0] + "." + b64([]byte(`{"sub":"root"}`)) + "." + parts[2], 401},
		"no signature":        {parts[0] + "." + parts[1] + ".", 401},
		"other issuer":        {sign(t, "RS256", "r", p.claims(map[string]any{"iss": "https://evil.example"}), key), 401},
		"no issuer":           {sign(t, "RS256", "r", p.claims(map[string]any{"iss": nil}), key), 401},
		"other audience":      {sign(t, "RS256", "r", p.claims(map[string]any{"aud": "other"}), key), 401},
		"no audience":         {sign(t, "RS256", "r", p.claims(map[string]any{"aud": nil}), key), 401},
		"expired":             {sign(t, "RS256", "r", p.claims(map[string]any{"exp": now.Add(-time.Second).Unix()}), key), 401},
		"no expiry":           {sign(t, "RS256", "r", p.claims(map[string]any{"exp": nil}), key), 401},
		"not yet":             {sign(t, "RS256", "r", p.claims(map[string]any{"nbf": now.Add(time.Hour).Unix()}), key), 401},
		"no tenant":           {sign(t, "RS256", "r", p.claims(map[string]any{"tenant": nil}), key), 403},
		"empty tenant":        {sign(t, "RS256", "r", p.claims(map[string]any{"tenant": ""}), key), 403},
		"tenant is no text":   {sign(t, "RS256", "r", p.claims(map[string]any{"tenant": 7}), key), 403},
		"no tenants":          {sign(t, "RS256", "r", p.claims(map[string]any{"tenant": []string{}}), key), 403},
		"no subject":          {sign(t, "RS256", "r", p.claims(map[string]any{"sub": nil}), key), 403},
	} {
		if got := get(tt.token); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// A new key is known when the first token comes that it has signed, and a key that is gone is forgotten; but
// tokens of nobody do not make us ask again and again.
func TestAuthorizer_keysRotate(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	first, second, foreign := rsaKey(t), rsaKey(t), rsaKey(t)
	p.keys["1"] = first
	c := &clock{t: now}
	get := serve(t, p, c)
	one, two := sign(t, "RS256", "1", p.claims(nil), first), sign(t, "RS256", "2", p.claims(nil), second)
	if got := get(one); got != 200 {
		t.Fatalf("the first key: %d", got)
	}
	p.set(func() { p.keys = map[string]any{"2": second} })
	bad := sign(t, "RS256", "3", p.claims(nil), foreign)
	for range 20 {
		if got := get(bad); got != 401 {
			t.Fatalf("a foreign key: %d", got)
		}
	}
	p.set(func() {
		if p.asked != 1 {
			t.Errorf("the provider was asked %d times, want once", p.asked)
		}
	})
	c.forward(11 * time.Second)
	// The key set finishes its last question a moment after it has answered.
	until(t, "the new key is known", func() bool { return get(two) == 200 })
	until(t, "the old key is forgotten", func() bool { return get(one) == 401 })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never", what)
		}
	}
}

// While the provider is away, its known keys are enough; what needs it is a 503, and mends itself.
func TestAuthorizer_providerAway(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	key, next := rsaKey(t), rsaKey(t)
	p.keys["1"], p.down = key, true
	c := &clock{t: now}
	get := serve(t, p, c)
	good := sign(t, "RS256", "1", p.claims(nil), key)
	if got := get(good); got != 503 {
		t.Errorf("before it was ever there: %d", got)
	}
	p.set(func() { p.down = false })
	if got := get(good); got != 200 {
		t.Errorf("when it is there: %d", got)
	}
	p.set(func() { p.down = true; p.keys["2"] = next })
	c.forward(11 * time.Second)
	if got := get(good); got != 200 {
		t.Errorf("away again, known key: %d", got)
	}
	if got := get(sign(t, "RS256", "2", p.claims(nil), next)); got != 503 {
		t.Errorf("away again, unknown key: %d", got)
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	m := oidc.Mapping{Principal: "email", RoleClaim: "roles", Role: "auditor", Hidden: []string{"ip_address"}, Filters: map[store.Field]string{store.FieldTenantID: "tenants"}}
	g, err := m.Grant(oidc.Claims{"email": "a@b", "roles": []any{"x", "auditor"}, "tenants": []any{"t1", "t2"}})
	if err != nil || g.Principal != "a@b" || len(g.Filters) != 1 || len(g.Filters[0].Values) != 2 || g.Hidden[0] != "ip_address" {
		t.Errorf("%+v %v", g, err)
	}
	for _, claims := range []oidc.Claims{
		{"roles": "auditor", "tenants": "t"}, {"email": "a", "roles": "x", "tenants": "t"}, {"email": "a", "roles": "auditor"}, {"email": "a", "roles": "auditor", "tenants": []any{1}},
	} {
		if _, err := m.Grant(claims); !errors.Is(err, query.ErrForbidden) {
			t.Errorf("%v gives %v", claims, err)
		}
	}
}

func TestNew_mistakes(t *testing.T) {
	t.Parallel()
	_, err := oidc.New(oidc.Config{Issuer: "http://id.example.com", KeysURL: "ftp://x", Algorithms: []string{"HS256", "none"}, MinRefresh: -1, Timeout: -1})
	for _, want := range []string{`Issuer is "http://id.example.com"`, `KeysURL is "ftp://x"`, "Audience is empty", "Grant is nil", `"HS256"`, `"none"`, "MinRefresh", "Timeout"} {
		if !errors.Is(err, query.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}
