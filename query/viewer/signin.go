package viewer

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
)

// maxBody is the largest body in bytes of a request to sign in.
const maxBody = 8 << 10

// whoIs says as whom the page is used, or 401.
func (h *handler) whoIs(c *gin.Context) {
	secure(c.Writer.Header())
	c.Header("Cache-Control", "no-store")
	grant, err := h.Query.Authorizer.Authorize(c, query.OperationSearch)
	if err != nil {
		h.refused(c, err)
		return
	}
	_, session := h.sessions.open(c.Request)
	c.PureJSON(http.StatusOK, gin.H{"principal": grant.Principal, "session": session})
}

// signIn takes {"token": "…"} and gives a session, if the Authorizer takes the token.
func (h *handler) signIn(c *gin.Context) {
	secure(c.Writer.Header())
	c.Header("Cache-Control", "no-store")
	if !h.ownSite(c) {
		return
	}
	token, ok := h.readToken(c)
	if !ok {
		return
	}
	c.Request = withToken(c.Request, token)
	if _, err := h.Query.Authorizer.Authorize(c, query.OperationSearch); err != nil {
		h.refused(c, err)
		return
	}
	value, expires, err := h.sessions.seal(token)
	if err != nil {
		h.refused(c, err)
		return
	}
	h.setCookie(c, value, expires)
	c.Status(http.StatusNoContent)
}

// readToken gives the token of the body.
func (h *handler) readToken(c *gin.Context) (string, bool) {
	kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || kind != "application/json" {
		h.problem(c, http.StatusUnsupportedMediaType, "unsupported-media-type", "Not JSON", `send {"token": "…"} as application/json`)
		return "", false
	}
	var body struct {
		Token string `json:"token"`
	}
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil || d.Decode(&struct{}{}) != io.EOF {
		h.problem(c, http.StatusBadRequest, "invalid-body", "Invalid body", `send {"token": "…"}`)
		return "", false
	}
	token := strings.TrimSpace(body.Token)
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		h.problem(c, http.StatusUnauthorized, "unauthenticated", "Not authenticated", "this is no token")
		return "", false
	}
	return token, true
}

// signOut ends the session.
func (h *handler) signOut(c *gin.Context) {
	secure(c.Writer.Header())
	c.Header("Cache-Control", "no-store")
	if !h.ownSite(c) {
		return
	}
	if s, ok := h.sessions.open(c.Request); ok {
		h.sessions.end(s)
	}
	h.setCookie(c, "", time.Unix(1, 0))
	c.Status(http.StatusNoContent)
}

// setCookie gives the browser the session's cookie, or takes it away with an expiry in the past. It has
// no Path: browsers then take the folder of this request's address as they see it, which is the
// viewer's own also behind a proxy that rewrites paths.
func (h *handler) setCookie(c *gin.Context, value string, expires time.Time) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // G124: Secure wherever the browser came by https
		Name: cookieName, Value: value, Expires: expires, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// The browser says itself how it came here; behind a proxy this process does not know.
		Secure: c.Request.TLS != nil || strings.HasPrefix(c.GetHeader("Origin"), "https://"),
	})
}

func (h *handler) ownSite(c *gin.Context) bool {
	if err := h.cross.Check(c.Request); err != nil {
		h.problem(c, http.StatusForbidden, "cross-site", "Request of another site", "sign in and out on the page itself")
		return false
	}
	return true
}

func (h *handler) refused(c *gin.Context, err error) {
	switch {
	case errors.Is(err, query.ErrUnauthenticated):
		h.problem(c, http.StatusUnauthorized, "unauthenticated", "Not authenticated", "the token is not valid")
	case errors.Is(err, query.ErrForbidden):
		h.problem(c, http.StatusForbidden, "forbidden", "Not allowed", "you are not allowed to read the audit trail")
	default:
		h.Query.Logger.ErrorContext(c.Request.Context(), "audit viewer: the authorizer failed", slog.Any("error", err))
		c.Header("Retry-After", "5")
		h.problem(c, http.StatusServiceUnavailable, "authorizer-unavailable", "Authorization not available", "it cannot be decided now who you are")
	}
}

func (h *handler) problem(c *gin.Context, status int, kind, title, detail string) {
	query.Problem{Type: h.Query.ProblemBase + kind, Title: title, Status: status, Detail: detail}.Write(c)
}
