package query

import (
	"encoding/json"
	"slices"

	"github.com/gormtrail/audit/event"
)

var redactedValue = json.RawMessage(`"[redacted]"`)

// redact takes the values of hidden columns out of r. It changes copies: a record is shared.
func redact(r *event.Record, grant Grant) {
	columns := func(c event.Change) bool { return grant.hides(hiddenChanges + c.Field) }
	if !slices.ContainsFunc(grant.Hidden, func(name string) bool {
		return len(name) > len(hiddenChanges) && name[:len(hiddenChanges)] == hiddenChanges
	}) {
		return
	}
	r.Changes = slices.Clone(r.Changes)
	labels := map[string]bool{}
	for i, c := range r.Changes {
		if columns(c) {
			labels[c.Field], labels[c.Label] = true, true
			c.Old, c.New, c.Redacted = nil, nil, true
			r.Changes[i] = c
		}
	}
	rows, ok := r.ChangeMessage.Rows()
	if !ok {
		// A text of the application's own may say the value.
		if text, ok := r.ChangeMessage.Text(); !ok || len(labels) > 0 && !standardText(text) {
			r.ChangeMessage = event.Message{}
		}
		return
	}
	for i, row := range rows {
		if labels[row.Field] || grant.hides(hiddenChanges+row.Field) {
			rows[i].OldValue, rows[i].NewValue = redactedValue, redactedValue
		}
	}
	r.ChangeMessage = event.TableMessage(rows)
}

func standardText(text string) bool {
	switch text {
	case event.TextCreated, event.TextDeleted, event.TextModified, event.TextRestored:
		return true
	}
	return false
}
