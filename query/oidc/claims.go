package oidc

import (
	"fmt"
	"slices"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
)

// Claims are what a token says, after it was checked.
type Claims map[string]any

// Text gives a claim that is a text; empty if it is none.
func (c Claims) Text(name string) string {
	s, _ := c[name].(string)
	return s
}

// Texts gives a claim that is a text or a list of texts; nil if it is neither.
func (c Claims) Texts(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil
			}
			out = append(out, s)
		}
		return out
	}
	return nil
}

// Mapping makes a grant from claims by their names.
type Mapping struct {
	// Principal is the claim that names the caller. Defaults to sub.
	Principal string
	// Filters has, for each field that restricts what is seen, the claim with its values, a text or a list
	// of texts. A token without the claim is refused with 403.
	Filters map[store.Field]string
	// Role is one of the values that the claim RoleClaim must have, if it is set.
	RoleClaim, Role string
	// Hidden are the fields that are hidden from all; see query.Grant.
	Hidden []string
}

// Grant is for Config.Grant.
func (m Mapping) Grant(claims Claims) (query.Grant, error) {
	name := m.Principal
	if name == "" {
		name = "sub"
	}
	grant := query.Grant{Principal: claims.Text(name), Hidden: m.Hidden}
	if grant.Principal == "" {
		return query.Grant{}, fmt.Errorf("%w: oidc: the token has no claim %s", query.ErrForbidden, name)
	}
	if m.Role != "" && !slices.Contains(claims.Texts(m.RoleClaim), m.Role) {
		return query.Grant{}, fmt.Errorf("%w: oidc: the token has no %s %s", query.ErrForbidden, m.RoleClaim, m.Role)
	}
	for _, field := range store.Fields() {
		claim, ok := m.Filters[field]
		if !ok {
			continue
		}
		values := claims.Texts(claim)
		if len(values) == 0 || slices.Contains(values, "") {
			return query.Grant{}, fmt.Errorf("%w: oidc: the token has no claim %s", query.ErrForbidden, claim)
		}
		grant.Filters = append(grant.Filters, store.Filter{Field: field, Values: values})
	}
	return grant, nil
}
