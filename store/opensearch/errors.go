package opensearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

var (
	// ErrConfig is returned, wrapped, if a Config or an environment variable is wrong.
	ErrConfig = errors.New("opensearch: bad configuration")
	// ErrForeignIndex is returned, wrapped, if an index with one of our names has a mapping that this
	// package did not make. Writing to it would break searches, so nothing is written.
	ErrForeignIndex = errors.New("opensearch: index has a foreign mapping")
	// ErrNewer is returned, wrapped, by Setup if the template on the server is of a newer version of this
	// package.
	ErrNewer = errors.New("opensearch: the server was set up by a newer version")
	// ErrNoPlugin is returned, wrapped, if the server lacks the plugin for index state management.
	ErrNoPlugin = errors.New("opensearch: the server has no index state management")
)

// answerError is an answer that is no success.
type answerError struct {
	status int
	kind   string // error type of the server, "" if the answer was not its JSON
	reason string
}

// Error names the status, and what the server says.
func (e *answerError) Error() string {
	switch {
	case e.kind != "":
		return fmt.Sprintf("opensearch: status %d %s: %s", e.status, e.kind, e.reason)
	case e.reason != "":
		return fmt.Sprintf("opensearch: status %d: %s", e.status, e.reason)
	default:
		return fmt.Sprintf("opensearch: status %d", e.status)
	}
}

// answerOf gives the answer that err is about, nil if there was none.
func answerOf(err error) *answerError {
	var answer *answerError
	if errors.As(err, &answer) {
		return answer
	}
	return nil
}

// maxReason bounds what an error text takes over from the server.
const maxReason = 512

// errorOf reads the error of an answer. The server's own has an object or a text in "error"; a proxy
// answers in any form.
func errorOf(status int, body []byte) *answerError {
	e := &answerError{status: status}
	var v struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &v) != nil || len(v.Error) == 0 {
		e.reason = clip(strings.Join(strings.Fields(string(body)), " "), 120)
		return e
	}
	var cause errorCause
	if json.Unmarshal(v.Error, &cause) == nil {
		cause = cause.deepest()
		e.kind, e.reason = cause.Type, clip(cause.Reason, maxReason)
		return e
	}
	var text string
	_ = json.Unmarshal(v.Error, &text)
	e.reason = clip(text, maxReason)
	return e
}

// errorCause is an error as the server writes it, for a whole answer and for an item of a bulk.
type errorCause struct {
	Type      string       `json:"type"`
	Reason    string       `json:"reason"`
	CausedBy  *errorCause  `json:"caused_by"`
	RootCause []errorCause `json:"root_cause"`
}

// deepest gives the cause that says most: a search that failed on all shards says so only in its
// root cause.
func (c errorCause) deepest() errorCause {
	if c.Type == "search_phase_execution_exception" && len(c.RootCause) > 0 {
		return c.RootCause[0]
	}
	return c
}

// text gives the reason and what caused it.
func (c errorCause) text() string {
	s := c.Reason
	for cause := c.CausedBy; cause != nil; cause = cause.CausedBy {
		s += ": " + cause.Reason
	}
	return clip(s, maxReason)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// exchangeError is a request without an answer. It hides that its cause is io.EOF: the client of
// opensearch-go v4.6 retries after that whatever DisableRetry says, with a body that was read
// already.
type exchangeError struct{ err error }

func (e *exchangeError) Error() string { return e.err.Error() }

// Is reports whether the cause is target.
func (e *exchangeError) Is(target error) bool {
	return target != io.EOF && errors.Is(e.err, target)
}
