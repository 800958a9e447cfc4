package event

import "errors"

// ErrInvalid is returned, wrapped, if data is no record, or a record has no encoding; the text names
// the field.
var ErrInvalid = errors.New("event: no valid record")

// errStop ends a walk; it never leaves the package.
var errStop = errors.New("event: stop")
