package stream

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned, wrapped, by an end that was closed or has lost its connection: make a new
	// one.
	ErrClosed = errors.New("stream: closed")
	// ErrNotExist is returned, wrapped, if the stream does not exist.
	ErrNotExist = errors.New("stream: stream does not exist")
	// ErrTooLarge is what a *TooLargeError is.
	ErrTooLarge = errors.New("stream: message too large")
	// ErrOrder is returned, wrapped, by Publish if a Seq is not above the one before it. The stream
	// would take such a message for a duplicate and lose it.
	ErrOrder = errors.New("stream: sequence does not rise")
)

// TooLargeError says that a message does not fit into the broker's frame. It is ErrTooLarge.
type TooLargeError struct {
	// Seq is the message's.
	Seq uint64
	// Size is the size in bytes of the payload, and Limit what can be sent, both about.
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("stream: message %d has %d bytes, more than fits into a frame of %d", e.Seq, e.Size, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }
