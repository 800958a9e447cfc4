package query

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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
	return HashedTokens(nil, grants)
}

// HashToken gives the hash of a token for HashedTokens, in lower-case hex. It is a plain SHA-256: a token
// that is random, of 16 bytes or more, cannot be found by trying, whatever the hash costs.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// HashedTokens is BearerTokens for tokens of which only the hashes are known; see HashToken. Who reads the
// hashes cannot make requests with them. Tokens in plain may be given beside them.
func HashedTokens(hashes, plain map[string]Grant) (Authorizer, error) {
	if len(hashes)+len(plain) == 0 {
		return nil, fmt.Errorf("%w: BearerTokens has no token, want at least one", ErrOptions)
	}
	var tokens bearerTokens
	var errs []error
	add := func(hash []byte, grant Grant) {
		if err := grant.validate(); err != nil {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: %w", ErrOptions, err))
		}
		t := bearerToken{grant: grant}
		copy(t.hash[:], hash)
		tokens = append(tokens, t)
	}
	for token, grant := range plain {
		if len(token) < MinTokenLength {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: the token of %q has %d bytes, want %d or more", ErrOptions, grant.Principal, len(token), MinTokenLength))
		}
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("%w: BearerTokens: the token of %q has characters that a header cannot carry", ErrOptions, grant.Principal))
		}
		hash := sha256.Sum256([]byte(token))
		add(hash[:], grant)
	}
	for text, grant := range hashes {
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != sha256.Size {
			errs = append(errs, fmt.Errorf("%w: HashedTokens: the hash of %q is none, want %d hex digits", ErrOptions, grant.Principal, 2*sha256.Size))
			continue
		}
		add(hash, grant)
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
