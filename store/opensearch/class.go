package opensearch

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gormtrail/audit/store"
)

// class says what an answer to a bulk request means, for one item or for the whole request.
type class int

const (
	classOK          class = iota
	classDuplicate         // a document with this id is there: compare it
	classTransient         // again after a pause, without a limit
	classEnvironment       // no document would be stored: wait until somebody has mended it
	classTooBig            // the request is too large for the server: halve it
	classPoison            // this document will never be stored
	classUnknown           // none of the above: some tries, then poison
)

// String gives the class as one word.
func (c class) String() string {
	return [...]string{"ok", "duplicate", "transient", "environment", "too big", "poison", "unknown"}[c]
}

// trouble names errors that concern the environment or the load, by a part of their type and, if
// that is not enough, of their reason. It is asked before the status is: a closed index is a 400, a
// full disk a 429, and must not look like a bad document or like load.
var trouble = []struct {
	kind, reason string
	class        class
}{
	// A full disk: TOO_MANY_REQUESTS/12. Read-only: FORBIDDEN/5 and /8. No cluster manager:
	// SERVICE_UNAVAILABLE/2. It leaves only when somebody acts, or when space comes back.
	{"cluster_block_exception", "", classEnvironment},
	{"index_closed_exception", "", classEnvironment},
	// Too many shards: status 400 "this action would add [2] total shards, but …".
	{"validation_exception", "this action would add", classEnvironment},
	{"index_not_found_exception", "", classEnvironment},
	{"security_exception", "", classEnvironment},
	{"cluster_manager_not_discovered_exception", "", classEnvironment},
	{"master_not_discovered_exception", "", classEnvironment},
	// The name has had prefixes in older versions.
	{"rejected_execution_exception", "", classTransient},
	{"circuit_breaking_exception", "", classTransient},
	{"unavailable_shards_exception", "", classTransient},
	{"no_shard_available_action_exception", "", classTransient},
	{"process_cluster_event_timeout_exception", "", classTransient},
	{"timeout_exception", "", classTransient},
	{"node_closed_exception", "", classTransient},
	{"node_disconnected_exception", "", classTransient},
	{"node_not_connected_exception", "", classTransient},
}

func troubleOf(kind, reason string) (class, bool) {
	for _, t := range trouble {
		if strings.HasSuffix(kind, t.kind) && strings.Contains(reason, t.reason) {
			return t.class, true
		}
	}
	return 0, false
}

// classify gives the class of one item of a bulk answer.
func classify(status int, kind, reason string) class {
	switch {
	case status >= 200 && status <= 299:
		return classOK
	case status == http.StatusConflict && kind == "version_conflict_engine_exception":
		return classDuplicate
	}
	if c, ok := troubleOf(kind, reason); ok {
		return c
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return classEnvironment
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return classTransient
	case status == http.StatusBadRequest:
		// A mapping that does not fit, too deep, no JSON of the server's taste: it is the document.
		return classPoison
	case status < 400:
		return classTransient // no answer that a bulk gives: as if none had come
	}
	return classUnknown
}

// classifyWhole gives the class of a request that was refused as a whole.
func classifyWhole(status int, kind, reason string) class {
	if status == http.StatusRequestEntityTooLarge {
		return classTooBig // with an empty body
	}
	if c, ok := troubleOf(kind, reason); ok {
		return c
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return classEnvironment
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500, status < 300:
		return classTransient
	case status == http.StatusBadRequest && kind != "":
		return classPoison // one document is: halve to find it
	}
	// A redirect, plain HTTP to a port with TLS (a 400 without an error of the server), a proxy that
	// wants something, a server that is none of ours.
	return classEnvironment
}

// statusOf gives what to tell the caller of Write about an error of a request that was not a bulk.
func statusOf(err error) store.Status {
	if errors.Is(err, ErrForeignIndex) {
		return store.Environment
	}
	var answer *answerError
	if !errors.As(err, &answer) {
		return store.Transient
	}
	if classifyWhole(answer.status, answer.kind, answer.reason) == classTransient {
		return store.Transient
	}
	return store.Environment
}
