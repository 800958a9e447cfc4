package relay

import (
	"errors"
	"fmt"
)

var (
	// ErrNoConfirm is in Stats.LastError, wrapped, if the broker has not confirmed within
	// Config.ConfirmTimeout.
	ErrNoConfirm = errors.New("relay: no confirm")
	// ErrForeignName is in Stats.LastError, wrapped, if under the queue's producer name and all names after
	// it somebody else has published. Nothing is sent then.
	ErrForeignName = errors.New("relay: producer name is used by somebody else")
	// ErrQueueFull is returned, wrapped, by Direct.Write if the records have no room in memory: they are
	// lost.
	ErrQueueFull = errors.New("relay: queue full")
	// ErrShutdown is returned by Direct.Write after Shutdown.
	ErrShutdown = errors.New("relay: shut down")
)

// PendingError is returned by Shutdown and Flush if not everything was confirmed in time. In a durable
// queue it stays and is sent after the next start; what was in memory is lost.
type PendingError struct {
	// Pending is how many records were not confirmed.
	Pending uint64
	// Err is why the waiting ended.
	Err error
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("relay: %d records not confirmed: %v", e.Pending, e.Err)
}

// Unwrap gives Err.
func (e *PendingError) Unwrap() error { return e.Err }
