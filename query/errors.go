package query

import "errors"

var (
	// ErrUnauthenticated is returned by an Authorizer that does not know who is asking: status 401.
	ErrUnauthenticated = errors.New("query: not authenticated")
	// ErrForbidden is returned by an Authorizer that knows who is asking and does not allow it:
	// status 403.
	ErrForbidden = errors.New("query: not allowed")
	// ErrOptions is returned, wrapped, by Mount and BearerTokens for what they were given.
	ErrOptions = errors.New("query")
)
