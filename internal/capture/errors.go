package capture

import "errors"

var (
	// ErrConfig is returned, wrapped, by Install for a value of Config or Hooks that cannot be used.
	ErrConfig = errors.New("audit: capture")
	// ErrDialect is returned, wrapped, by Install and Check for a database, or a connection pool, that is
	// not supported.
	ErrDialect = errors.New("audit: unsupported database")
	// ErrOlder is returned, wrapped, by Check for a server that is older than those of the tests, and is
	// captured all the same.
	ErrOlder = errors.New("audit: older database than those of the tests")
	// ErrCapture is returned, wrapped, as the error of a statement under the strict policy if its change
	// could not be recorded.
	ErrCapture = errors.New("audit: change cannot be recorded")
	// ErrNotInstalled is returned, wrapped, by Add and OnEnd for a handle without the plugin.
	ErrNotInstalled = errors.New("audit: the plugin is not installed on this handle")
)
