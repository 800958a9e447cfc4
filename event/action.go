package event

import "strings"

// Action says what happened to the object. Besides the constants, any upper-case word of the
// application's own is an action.
type Action string

// The actions that this module writes itself.
const (
	ActionAdd     Action = "ADD"     // object created
	ActionChange  Action = "CHANGE"  // object updated
	ActionDelete  Action = "DELETE"  // object deleted, also softly
	ActionRestore Action = "RESTORE" // soft-deleted object brought back
	ActionImport  Action = "IMPORT"  // object imported from elsewhere
	ActionExport  Action = "EXPORT"  // object exported
)

// ParseAction gives the action that s names: upper case, with CREATE and UPDATE as aliases of ADD
// and CHANGE. Every other word is kept.
func ParseAction(s string) Action {
	switch a := Action(strings.ToUpper(strings.TrimSpace(s))); a {
	case "CREATE":
		return ActionAdd
	case "UPDATE":
		return ActionChange
	default:
		return a
	}
}
