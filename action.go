package audit

import (
	"fmt"
	"regexp"

	"github.com/gormtrail/audit/event"
)

// Action says what happened to an object: one of the constants, or an upper-case word of your own.
// CREATE and UPDATE are aliases of ADD and CHANGE.
type Action = event.Action

// The predefined actions. ADD, CHANGE, DELETE and RESTORE are written for captured changes.
const (
	ActionAdd     = event.ActionAdd
	ActionChange  = event.ActionChange
	ActionDelete  = event.ActionDelete
	ActionRestore = event.ActionRestore
	ActionImport  = event.ActionImport
	ActionExport  = event.ActionExport
)

var actionForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// parseAction gives the action that a means, or an error that wraps ErrEntry.
func parseAction(a Action) (Action, error) {
	parsed := event.ParseAction(string(a))
	if !actionForm.MatchString(string(parsed)) {
		return "", fmt.Errorf("%w: action is %q, want ADD, CHANGE, DELETE, RESTORE, IMPORT, EXPORT, or a word of at most 64 letters, digits and _", ErrEntry, a)
	}
	return parsed, nil
}
