package viewer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
)

const (
	cookieName = "audit_viewer"
	// maxToken keeps the cookie below the 4096 bytes that browsers take.
	maxToken = 2800
)

// sessions makes and reads the cookies.
type sessions struct {
	aead  cipher.AEAD
	ttl   time.Duration
	clock func() time.Time

	mu sync.Mutex
	// ended has the expiry of sessions that were ended before it.
	ended map[string]time.Time
}

// session is what the cookie holds, encrypted.
type session struct {
	ID      string    `json:"id"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

func newSessions(o Options) (*sessions, error) {
	derived := sha256.Sum256(append([]byte("gormtrail audit viewer session 1\n"), o.SessionKey...))
	block, err := aes.NewCipher(derived[:])
	if err != nil {
		return nil, fmt.Errorf("viewer: make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("viewer: make cipher: %w", err)
	}
	return &sessions{aead: aead, ttl: o.SessionTTL, clock: o.Query.Clock, ended: map[string]time.Time{}}, nil
}

func randomKey() []byte {
	key := make([]byte, minSessionKey)
	_, _ = rand.Read(key) // never fails; see crypto/rand
	return key
}

// seal gives the cookie's value for a new session with the token.
func (s *sessions) seal(token string) (value string, expires time.Time, err error) {
	expires = s.clock().Add(s.ttl).UTC().Truncate(time.Second)
	plain, err := json.Marshal(session{ID: rand.Text(), Token: token, Expires: expires})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("viewer: encode session: %w", err)
	}
	sealed := s.aead.Seal(nil, nil, plain, nil) //nolint:gosec // G407: this AEAD makes a random nonce itself
	return base64.RawURLEncoding.EncodeToString(sealed), expires, nil
}

// open gives the session of a request, if it has one that is valid.
func (s *sessions) open(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return session{}, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return session{}, false
	}
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return session{}, false
	}
	var got session
	if json.Unmarshal(plain, &got) != nil || !s.clock().Before(got.Expires) {
		return session{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ended := s.ended[got.ID]
	return got, !ended
}

// end makes a session invalid.
func (s *sessions) end(got session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for id, expires := range s.ended {
		if !now.Before(expires) {
			delete(s.ended, id)
		}
	}
	s.ended[got.ID] = got.Expires
}

// sessionAuthorizer asks the inner Authorizer as if the caller had sent the token of their session.
type sessionAuthorizer struct {
	inner    query.Authorizer
	sessions *sessions
}

var _ query.Authorizer = (*sessionAuthorizer)(nil)

// Authorize implements query.Authorizer.
func (a *sessionAuthorizer) Authorize(c *gin.Context, operation query.Operation) (query.Grant, error) {
	if c.GetHeader("Authorization") == "" && sameSite(c.Request) {
		if s, ok := a.sessions.open(c.Request); ok {
			c.Request = withToken(c.Request, s.Token)
		}
	}
	return a.inner.Authorize(c, operation)
}

// sameSite reports whether the request comes from the page itself or from the address bar. Browsers
// send the header over https and to the same machine; where they do not, SameSite=Strict stands alone.
func sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return false
}

func withToken(r *http.Request, token string) *http.Request {
	next := r.WithContext(r.Context())
	next.Header = r.Header.Clone()
	next.Header.Set("Authorization", "Bearer "+token)
	return next
}
