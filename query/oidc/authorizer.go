package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
)

// Authorizer takes tokens of one provider. Make one with New; it may be used concurrently.
type Authorizer struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

var _ query.Authorizer = (*Authorizer)(nil)

// New gives an Authorizer. It does not ask the provider yet. The error names all mistakes in cfg and wraps
// query.ErrOptions.
func New(cfg Config) (*Authorizer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Authorizer{cfg: cfg, client: &http.Client{
		Transport: &limiter{next: cfg.Transport, least: cfg.MinRefresh, clock: cfg.Clock, last: map[string]time.Time{}},
		Timeout:   cfg.Timeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || !safeURL(r.URL.String()) {
				return errors.New("oidc: redirected too often, or to an unsafe address")
			}
			return nil
		},
	}}, nil
}

// Authorize implements query.Authorizer.
func (a *Authorizer) Authorize(c *gin.Context, _ query.Operation) (query.Grant, error) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return query.Grant{}, query.ErrUnauthenticated
	}
	ctx := c.Request.Context()
	verifier, err := a.ready(ctx)
	if err != nil {
		return query.Grant{}, err
	}
	asked := &outcome{}
	checked, err := verifier.Verify(context.WithValue(ctx, outcomeKey{}, asked), token)
	if err != nil {
		if asked.unavailable != nil {
			return query.Grant{}, fmt.Errorf("oidc: keys of the provider: %w", asked.unavailable)
		}
		a.cfg.Logger.DebugContext(ctx, "audit oidc: a token was refused", slog.Any("error", err))
		return query.Grant{}, query.ErrUnauthenticated
	}
	var claims Claims
	if err := checked.Claims(&claims); err != nil {
		return query.Grant{}, query.ErrUnauthenticated
	}
	return a.cfg.Grant(claims)
}

// ready gives the verifier, for which it asks the provider where its keys are.
func (a *Authorizer) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verifier != nil {
		return a.verifier, nil
	}
	// The keys are asked for by many requests, so not with the context of this one.
	own := oidc.ClientContext(context.WithoutCancel(ctx), a.client)
	keys := a.cfg.KeysURL
	if keys == "" {
		provider, err := oidc.NewProvider(own, a.cfg.Issuer)
		if err != nil {
			return nil, fmt.Errorf("oidc: ask the provider: %w", err)
		}
		var says struct {
			KeysURL string `json:"jwks_uri"`
		}
		if err := provider.Claims(&says); err != nil || !safeURL(says.KeysURL) {
			return nil, fmt.Errorf("oidc: the provider says that its keys are at %q, want an https URL", says.KeysURL)
		}
		keys = says.KeysURL
	}
	a.verifier = oidc.NewVerifier(a.cfg.Issuer, keySet{oidc.NewRemoteKeySet(own, keys)}, &oidc.Config{
		ClientID: a.cfg.Audience, SupportedSigningAlgs: a.cfg.Algorithms, Now: a.cfg.Clock,
	})
	return a.verifier, nil
}

type outcomeKey struct{}

// outcome tells a token that is not valid from keys that cannot be had.
type outcome struct{ unavailable error }

// keySet notes why a signature could not be verified: the verifier only keeps the text.
type keySet struct{ oidc.KeySet }

// VerifySignature implements oidc.KeySet.
func (k keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	// None of the known keys has signed it, and the provider was asked a moment ago: it is not valid.
	if err != nil && !errors.Is(err, errTooSoon) && strings.HasPrefix(err.Error(), "fetching keys") {
		if asked, ok := ctx.Value(outcomeKey{}).(*outcome); ok {
			asked.unavailable = err
		}
	}
	return payload, err
}

// errTooSoon is returned if the provider was asked a moment ago.
var errTooSoon = errors.New("oidc: the provider was asked a moment ago")

// limiter keeps tokens that nobody has signed from making us ask the provider again and again. A question
// that failed may be asked again at once.
type limiter struct {
	next  http.RoundTripper
	least time.Duration
	clock func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

// RoundTrip implements http.RoundTripper.
func (l *limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	url, now := r.URL.String(), l.clock()
	l.mu.Lock()
	last, asked := l.last[url]
	l.mu.Unlock()
	if asked && now.Sub(last) < l.least && !now.Before(last) {
		return nil, errTooSoon
	}
	answer, err := l.next.RoundTrip(r)
	if err == nil && answer.StatusCode == http.StatusOK {
		l.mu.Lock()
		l.last[url] = now
		l.mu.Unlock()
	}
	return answer, err
}
