package filelog

import "errors"

// ErrClosed is returned by Write after Close.
var ErrClosed = errors.New("filelog: closed")
