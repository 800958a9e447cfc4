package query

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/gin-gonic/gin"
)

// MinTokenLength is the least length in bytes of a token.
const MinTokenLength = 16

type bearerTokens []bearerToken

type bearerToken struct {
	hash  [sha256.Size]byte
	grant Grant
}

// BearerTokens gives an Authorizer for requests with "Authorization: Bearer <token>", each token with
// its grant for all operations. Only hashes of the tokens are kept, and all are compared in constant
// time. The error names all mistakes; it never has a token in it.
func BearerTokens(grants map[string]Grant) (Authorizer, error) {
	if len(grants) == 0 {
		return nil, fmt.Errorf("%w: BearerTokens has no token, want at least one", ErrOptions)
	}
	var tokens bearerTokens
	var errs []error
	for token, grant := range grants {
		if len(token) < MinTokenLength {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: the token of %q has %d bytes, want %d or more", ErrOptions, grant.Principal, len(token), MinTokenLength))
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: the token of %q has characters that a header cannot carry", ErrOptions, grant.Principal))
		}
		if err := grant.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: %w", ErrOptions, err))
		}
		tokens = append(tokens, bearerToken{hash: sha256.Sum256([]byte(token)), grant: grant})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return tokens, nil
}

// Authorize implements Authorizer.
func (t bearerTokens) Authorize(c *gin.Context, _ Operation) (Grant, error) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Grant{}, ErrUnauthenticated
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := -1
	for i := range t {
		if subtle.ConstantTimeCompare(hash[:], t[i].hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Grant{}, ErrUnauthenticated
	}
	return t[found].grant, nil
}
