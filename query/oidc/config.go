package oidc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormtrail/audit/query"
)

// Config configures New. Issuer, Audience and Grant are required.
type Config struct {
	// Issuer is the URL of the provider, as it is in the claim iss. It is https, unless it is on this machine.
	Issuer string
	// Audience is whom the tokens are made for; it must be in the claim aud.
	Audience string
	// Grant says what the bearer of a token may see. An error that wraps query.ErrForbidden gives 403. It may
	// be called concurrently. See Mapping.
	Grant func(claims Claims) (query.Grant, error)

	// KeysURL is where the keys are, for providers without a discovery document.
	//
	// Defaults to what the document at Issuer + "/.well-known/openid-configuration" says.
	KeysURL string
	// Algorithms are the signatures that are taken, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384,
	// ES512 and EdDSA.
	//
	// Defaults to RS256 and ES256.
	Algorithms []string
	// MinRefresh is the least time between two questions to the provider.
	//
	// Defaults to 10 seconds.
	MinRefresh time.Duration
	// Timeout is how long the provider may take.
	//
	// Defaults to 5 seconds.
	Timeout time.Duration
	// Transport carries the questions to the provider.
	//
	// Defaults to http.DefaultTransport.
	Transport http.RoundTripper
	// Logger is told why tokens are refused, at level Debug. Defaults to slog.Default().
	Logger *slog.Logger
	// Clock tells the time. Defaults to time.Now.
	Clock func() time.Time
}

// algorithms are all asymmetric.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (c Config) withDefaults() Config {
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256"}
	}
	if c.MinRefresh == 0 {
		c.MinRefresh = 10 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: oidc: "+format, append([]any{query.ErrOptions}, args...)...))
	}
	if !safeURL(c.Issuer) {
		bad("Config.Issuer is %q, want an https URL", c.Issuer)
	}
	if c.KeysURL != "" && !safeURL(c.KeysURL) {
		bad("Config.KeysURL is %q, want an https URL", c.KeysURL)
	}
	if c.Audience == "" {
		bad("Config.Audience is empty, want whom the tokens are made for")
	}
	if c.Grant == nil {
		bad("Config.Grant is nil, want what the bearer of a token may see")
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(algorithms, a) {
			bad("Config.Algorithms has %q, want some of %s", a, strings.Join(algorithms, ", "))
		}
	}
	if c.MinRefresh < 0 {
		bad("Config.MinRefresh is %v, want 0 (default) or more", c.MinRefresh)
	}
	if c.Timeout < 0 {
		bad("Config.Timeout is %v, want 0 (default) or more", c.Timeout)
	}
	return errors.Join(errs...)
}

// safeURL reports whether nobody on the way can give other keys.
func safeURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}
