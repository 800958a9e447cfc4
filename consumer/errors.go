package consumer

import (
	"errors"
	"fmt"
)

// ErrConfig is returned, wrapped, by New if the Config is wrong; the text names every field.
var ErrConfig = errors.New("consumer: bad configuration")

var (
	errMessage = errors.New("message is no record")
	errResults = errors.New("consumer: store gave another number of results than documents")
)

// panicError is a panic of the store or of an end of the stream, caught so that the service goes on.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("consumer: panic: %v", e.value) }
