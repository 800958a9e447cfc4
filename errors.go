package audit

import (
	"errors"
	"fmt"

	"github.com/gormtrail/audit/internal/mask"
)

var (
	// ErrNotInstalled is returned if a handle is asked for auditing that has no plugin: call
	// db.Use(audit.Plugin) first.
	ErrNotInstalled = errors.New("audit: the plugin is not installed on this handle")
	// ErrNotRegistered is returned, wrapped, if a model is not in the registry.
	ErrNotRegistered = errors.New("audit: model is not registered")
	// ErrShutdown is the reason for records that came after Shutdown. They are counted as failed; with
	// the policy Strict the write fails.
	ErrShutdown = errors.New("audit: shut down")
	// ErrConfig is returned, wrapped, for each mistake in a Config.
	ErrConfig = errors.New("audit: bad configuration")
	// ErrRegistration is returned, wrapped, for each mistake in the registration of a model.
	ErrRegistration = errors.New("audit: bad registration")
	// ErrRefused is returned, wrapped, by Attempt if an act did not run because its intent could not be
	// recorded: try again later.
	ErrRefused = errors.New("audit: act refused")
	// ErrControl is returned, wrapped, by Tx.PrepareContext for SAVEPOINT, COMMIT and their like: send them
	// by Tx.ExecContext, which follows them.
	ErrControl = errors.New("audit: statement controls the transaction and cannot be prepared")
	// ErrEntry is returned, wrapped, if Log or StartBatch is asked for something that is no record.
	ErrEntry = errors.New("audit: bad entry")
)

// DeliverError says that a sink did not take records.
type DeliverError struct {
	// Records is how many records it did not take.
	Records int
	// Err is the sink's error.
	Err error
}

// Error implements error.
func (e *DeliverError) Error() string {
	return fmt.Sprintf("audit: sink did not take %d records: %v", e.Records, e.Err)
}

// Unwrap gives the sink's error.
func (e *DeliverError) Unwrap() error { return e.Err }

// PanicError is a panic in code of the application that auditing called, such as String, a masker or
// a sink. It was recovered.
type PanicError struct {
	// Where is what was called.
	Where string
	// Value is what it panicked with.
	Value any
}

// Error implements error.
func (e *PanicError) Error() string {
	// Errors are logged, and it panicked with what it liked.
	text, _ := new(mask.Rules).Document(fmt.Sprint(e.Value))
	return fmt.Sprintf("audit: panic in %s: %s", e.Where, text)
}

// guard runs f and gives its error, or its panic as an error.
func guard(where string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Where: where, Value: v}
		}
	}()
	return f()
}
