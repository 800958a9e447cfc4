package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
)

const (
	envTokens = "AUDIT_API_TOKENS"
	envSecret = "AUDIT_API_SECRET"
	minSecret = 32
)

// hashPrefix begins a token of which only the hash is kept.
const hashPrefix = "sha256:"

// errNoTokens is returned if there is neither variable nor file.
var errNoTokens = fmt.Errorf("nobody may ask: set %s=name=token, --token-file, or --oidc-issuer; a token has at least %d characters", envTokens, query.MinTokenLength)

// tokens reads who may ask by a token, from AUDIT_API_TOKENS and from the file. No error has a token in it.
func tokens(getenv func(string) string, file string) (query.Authorizer, error) {
	grants, hashed := make(map[string]query.Grant), make(map[string]query.Grant)
	var errs []error
	add := func(where, name, token string, rest []string) {
		grant := query.Grant{Principal: name}
		into, key := grants, token
		if sum, ok := strings.CutPrefix(token, hashPrefix); ok {
			into, key = hashed, sum
		}
		switch _, taken := into[key]; {
		case name == "" || token == "":
			errs = append(errs, fmt.Errorf("%s: want a name and a token", where))
			return
		case taken:
			errs = append(errs, fmt.Errorf("%s: the token of %q is that of another name as well", where, name))
			return
		}
		for _, word := range rest {
			if err := restrict(&grant, word); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
		}
		into[key] = grant
	}
	if list := getenv(envTokens); list != "" {
		n := 0
		for entry := range strings.SplitSeq(list, ",") {
			n++
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			name, token, _ := strings.Cut(entry, "=")
			add(fmt.Sprintf("%s, entry %d, has the form name=token", envTokens, n), strings.TrimSpace(name), strings.TrimSpace(token), nil)
		}
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("--token-file: %w", err))
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			words := strings.Fields(line)
			if len(words) == 0 || strings.HasPrefix(words[0], "#") {
				continue
			}
			words = append(words, "")[:max(len(words), 2)]
			add(fmt.Sprintf("%s, line %d", file, n), words[0], words[1], words[2:])
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(grants) == 0 && len(hashed) == 0 {
		return nil, errNoTokens
	}
	return query.HashedTokens(hashed, grants)
}

// restrict adds a restriction to a grant: field=value, with several values between commas, or
// hide=field.
func restrict(grant *query.Grant, word string) error {
	name, value, ok := strings.Cut(word, "=")
	switch {
	case !ok || value == "":
		return fmt.Errorf("%q is no restriction, want field=value or hide=field", word)
	case name == "hide":
		grant.Hidden = append(grant.Hidden, strings.Split(value, ",")...)
		return nil
	case !slices.Contains(store.Fields(), store.Field(name)):
		return fmt.Errorf("%q is no field to restrict by, want hide or one of %v", name, store.Fields())
	}
	grant.Filters = append(grant.Filters, store.Filter{Field: store.Field(name), Values: strings.Split(value, ",")})
	return nil
}

// keys gives the keys for cursors and sessions, both from AUDIT_API_SECRET; nil if it is not set.
func keys(getenv func(string) string) (cursor, session []byte, err error) {
	secret := getenv(envSecret)
	if secret == "" {
		return nil, nil, nil
	}
	if len(secret) < minSecret {
		return nil, nil, fmt.Errorf("%s has %d bytes, want none (random keys) or %d or more", envSecret, len(secret), minSecret)
	}
	derive := func(purpose string) []byte {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("audit/" + purpose))
		return h.Sum(nil)
	}
	return derive("cursor"), derive("session"), nil
}
