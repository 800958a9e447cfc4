package query

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// Problem is the body of every error, as RFC 9457 says.
type Problem struct {
	// Type is a URI that identifies the kind of the problem; Title says it in words.
	Type  string `json:"type"`
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail is about this request.
	Detail string `json:"detail,omitempty"`
	// RequestID is the X-Request-ID that middleware has put into the answer's header.
	RequestID string `json:"request_id,omitempty"`
	// Errors lists everything that is wrong with the parameters.
	Errors []ParamError `json:"errors,omitempty"`
}

// ParamError says what is wrong with one parameter.
type ParamError struct {
	// Param is the parameter's name.
	Param string `json:"param"`
	// Code is a word for programs: unknown_parameter, repeated_parameter, empty_value, invalid_value,
	// invalid_date, invalid_range, too_long, too_many_values, out_of_range, conflict, hidden_field,
	// invalid_cursor, cursor_mismatch, invalid_checkpoint, or not_supported.
	Code string `json:"code"`
	// Detail says it in words, with the offending value.
	Detail string `json:"detail"`
	// Allowed says what would be right.
	Allowed string `json:"allowed,omitempty"`
}

// The kinds of problems: the last part of Problem.Type.
const (
	problemParameter       = "invalid-parameter"
	problemCursorExpired   = "cursor-expired"
	problemUnauthenticated = "unauthenticated"
	problemForbidden       = "forbidden"
	problemNotFound        = "not-found"
	problemTooLong         = "uri-too-long"
	problemHeader          = "header-too-large"
	problemBody            = "body-too-large"
	problemMedia           = "unsupported-media-type"
	problemNotSupported    = "not-supported"
	problemAccess          = "access-not-recorded"
	problemTooMany         = "too-many-requests"
	problemInternal        = "internal"
	problemUnavailable     = "store-unavailable"
	problemTimeout         = "store-timeout"
	problemAuthorizer      = "authorizer-unavailable"
)

// DefaultProblemBase begins the types of problems unless Options.ProblemBase does.
const DefaultProblemBase = "urn:gormtrail:audit:problem:"

const problemType = "application/problem+json; charset=utf-8"

// Write answers a request with p and ends it: no further handler runs.
func (p Problem) Write(c *gin.Context) {
	c.Abort()
	if p.RequestID == "" {
		p.RequestID = c.Writer.Header().Get("X-Request-Id")
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="audit"`)
	}
	c.Data(p.Status, problemType, encode(p))
}

func (h *handler) refuse(c *gin.Context, status int, kind, title, detail string, errs ...ParamError) {
	Problem{Type: h.ProblemBase + kind, Title: title, Status: status, Detail: detail, Errors: errs}.Write(c)
}

func (h *handler) badParams(c *gin.Context, errs []ParamError) {
	detail := fmt.Sprintf("%d parameters are wrong", len(errs))
	if len(errs) == 1 {
		detail = errs[0].Param + ": " + errs[0].Detail
	}
	h.refuse(c, http.StatusBadRequest, problemParameter, "Invalid parameter", detail, errs...)
}

// quote gives v for a message: quoted, with its control characters escaped, and not too long.
func quote(v string) string {
	const most = 60
	if r := []rune(v); len(r) > most {
		return fmt.Sprintf("%+q…", string(r[:most]))
	}
	return fmt.Sprintf("%q", v)
}
