package reqinfo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
)

// Lengths up to which a record takes what the client writes.
const (
	maxUserAgent = 1024 // bytes
	maxRequestID = 128
	maxMethod    = 32
)

// Config says how the facts are found.
type Config struct {
	TrustedProxies  []netip.Prefix
	ForwardedHeader string // defaults to X-Forwarded-For
	RequestIDHeader string // defaults to X-Request-Id
	SessionHashKey  []byte
	Now             func() time.Time // for request ids that are made here
}

// WithDefaults gives c with the defaults filled in.
func (c Config) WithDefaults() Config {
	if c.ForwardedHeader == "" {
		c.ForwardedHeader = "X-Forwarded-For"
	}
	if c.RequestIDHeader == "" {
		c.RequestIDHeader = "X-Request-Id"
	}
	c.ForwardedHeader = http.CanonicalHeaderKey(c.ForwardedHeader)
	c.RequestIDHeader = http.CanonicalHeaderKey(c.RequestIDHeader)
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the clock's default
	}
	return c
}

// Facts are what a record says about a request.
type Facts struct {
	IPAddress, UserAgent, RequestID, TraceID, SpanID, Method string
}

// Facts reads r. It gives the response, whose header is response, the request id.
func (c *Config) Facts(r *http.Request, response http.Header) Facts {
	f := Facts{
		IPAddress: ClientIP(r.RemoteAddr, r.Header[c.ForwardedHeader], c.TrustedProxies),
		UserAgent: clip(r.UserAgent(), maxUserAgent),
		RequestID: c.requestID(r.Header, response),
		Method:    clip(r.Method, maxMethod),
	}
	f.TraceID, f.SpanID = Traceparent(r.Header["Traceparent"])
	response.Set(c.RequestIDHeader, f.RequestID)
	return f
}

// requestID takes the id that other middleware has given the response, else the request's, if it is
// well-formed, else a new one.
func (c *Config) requestID(request, response http.Header) string {
	for _, h := range []http.Header{response, request} {
		if id := h[c.RequestIDHeader]; len(id) == 1 && ValidRequestID(id[0]) {
			return id[0]
		}
	}
	return event.NewID(c.Now())
}

// ValidRequestID reports whether id may be taken over from a header: 1 to 128 letters, digits and
// . _ - : + / = of ASCII.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("._-:+/=", b) >= 0:
		default:
			return false
		}
	}
	return true
}

// Traceparent gives the ids in the W3C header traceparent (Trace Context, level 1, section 3.2);
// none if the header is missing, stands there twice or is not well-formed.
func Traceparent(values []string) (traceID, spanID string) {
	if len(values) != 1 {
		return "", ""
	}
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	v := values[0]
	switch {
	case len(v) < length, v[2] != '-', v[35] != '-', v[52] != '-', v[:2] == "ff":
		return "", ""
	case v[:2] == "00" && len(v) != length, len(v) > length && v[length] != '-':
		return "", "" // only later versions may have more fields
	}
	traceID, spanID = v[3:35], v[36:52]
	if !lowerHex(v[:2]) || !lowerHex(traceID) || !lowerHex(spanID) || !lowerHex(v[53:55]) ||
		strings.Trim(traceID, "0") == "" || strings.Trim(spanID, "0") == "" {
		return "", ""
	}
	return traceID, spanID
}

func lowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// SessionKey gives the HMAC-SHA256 of the session in lower-case hex; "" without a key, as the session
// itself is a credential.
func (c *Config) SessionKey(session string) string {
	if session == "" || len(c.SessionHashKey) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, c.SessionHashKey)
	mac.Write([]byte(session))
	return hex.EncodeToString(mac.Sum(nil))
}

// RouteOf gives the path of a pattern of http.ServeMux, which may begin with a method and a host.
func RouteOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i > 0 {
		return pattern[i:]
	}
	return pattern
}

// clip cuts s to at most size bytes, between characters.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size]
}
