package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/spf13/pflag"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/oidc"
	"github.com/gormtrail/audit/store"
)

// oidcFlags say whose JSON Web Tokens are taken.
type oidcFlags struct {
	issuer, audience, principal, role string
	filters, hide                     []string
}

func (f *oidcFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.issuer, "oidc-issuer", "", "also take JSON Web Tokens of this OpenID Connect provider")
	flags.StringVar(&f.audience, "oidc-audience", "", "whom its tokens must be made for (aud)")
	flags.StringVar(&f.principal, "oidc-principal", "sub", "claim that names the caller")
	flags.StringVar(&f.role, "oidc-role", "", "claim=value that a token must have, such as roles=auditor")
	flags.StringSliceVar(&f.filters, "oidc-filter", nil, "field=claim that restricts what is seen, such as tenant_id=tenant; a token without the claim is refused")
	flags.StringSliceVar(&f.hide, "oidc-hide", nil, "fields that are hidden from its callers")
}

// authorizer gives who decides about requests: tokens of the variable and the file, tokens of an OpenID
// Connect provider, or both.
func authorizer(getenv func(string) string, file string, f oidcFlags, log *slog.Logger) (query.Authorizer, error) {
	own, err := tokens(getenv, file)
	if f.issuer == "" {
		if f.audience != "" || f.role != "" || len(f.filters)+len(f.hide) > 0 {
			err = errors.Join(err, errors.New("--oidc-audience, --oidc-role, --oidc-filter and --oidc-hide need --oidc-issuer"))
		}
		return own, err
	}
	if errors.Is(err, errNoTokens) {
		err = nil
	}
	provider, oidcErr := f.authorizer(log)
	if err := errors.Join(err, oidcErr); err != nil {
		return nil, err
	}
	if own == nil {
		return provider, nil
	}
	return query.AuthorizerFunc(func(c *gin.Context, o query.Operation) (query.Grant, error) {
		grant, err := own.Authorize(c, o)
		if errors.Is(err, query.ErrUnauthenticated) {
			return provider.Authorize(c, o)
		}
		return grant, err
	}), nil
}

func (f oidcFlags) authorizer(log *slog.Logger) (query.Authorizer, error) {
	m := oidc.Mapping{Principal: f.principal, Hidden: f.hide, Filters: map[store.Field]string{}}
	var errs []error
	for _, word := range f.filters {
		field, claim, ok := strings.Cut(word, "=")
		if !ok || claim == "" || !slices.Contains(store.Fields(), store.Field(field)) {
			errs = append(errs, fmt.Errorf("--oidc-filter is %q, want field=claim with one of %v", word, store.Fields()))
			continue
		}
		m.Filters[store.Field(field)] = claim
	}
	if f.role != "" {
		var ok bool
		if m.RoleClaim, m.Role, ok = strings.Cut(f.role, "="); !ok || m.RoleClaim == "" || m.Role == "" {
			errs = append(errs, fmt.Errorf("--oidc-role is %q, want claim=value", f.role))
		}
	}
	a, err := oidc.New(oidc.Config{Issuer: f.issuer, Audience: f.audience, Grant: m.Grant, Logger: log})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return a, nil
}
