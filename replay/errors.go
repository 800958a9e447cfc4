package replay

import "errors"

var (
	// ErrConfig is returned, wrapped, by Run if the Config is wrong; the text names every field.
	ErrConfig = errors.New("replay: bad configuration")
	// ErrStopped is returned, wrapped, if ctx ended before the part did. The report says how far it came.
	ErrStopped = errors.New("replay: stopped before the end")
)
