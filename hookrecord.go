package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/mask"
)

// before asks Config.Before of each record, and gives those that are to be written, and how many are not.
func (h *handle) before(ctx context.Context, records []event.Record) (_ []event.Record, vetoed int) {
	hook := h.auditor.cfg.Before
	if hook == nil {
		return records, 0
	}
	kept := records[:0]
	for _, r := range records {
		// A copy, so that a panic half-way leaves nothing behind, and two records of one change are two.
		asked := r
		asked.Changes, asked.ChangedFields, asked.Errors = slices.Clone(r.Changes), slices.Clone(r.ChangedFields), slices.Clone(r.Errors)
		asked.Extra = maps.Clone(r.Extra)
		wanted := true
		err := guard("Config.Before", func() error { wanted = hook(ctx, &asked); return nil })
		switch {
		case err != nil:
			h.auditor.report(ctx, KindHook, err)
			kept = append(kept, r)
		case !wanted:
			vetoed++
		default:
			h.maskAgain(&r, &asked)
			kept = append(kept, asked)
		}
	}
	return kept, vetoed
}

// maskAgain masks what a hook may have written into the record that was before.
func (h *handle) maskAgain(before, r *event.Record) {
	rules := &h.auditor.rules
	h.maskExtra(r)
	texts := []*string{&r.Reason, &r.ObjectRepr, &r.SourceRepr}
	for i := range r.Errors {
		texts = append(texts, &r.Errors[i])
	}
	for _, text := range texts {
		*text, _ = rules.Document(*text)
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		var was event.Change
		if i < len(before.Changes) {
			was = before.Changes[i]
		}
		for _, v := range []struct{ now, was *json.RawMessage }{{&c.Old, &was.Old}, {&c.New, &was.New}} {
			if bytes.Equal(*v.now, *v.was) && c.Field == was.Field {
				continue // as it was made, with what the application wants to be seen
			}
			var masked bool
			*v.now, masked = h.maskValue(c.Field, *v.now)
			c.Redacted = c.Redacted || masked
		}
	}
	if bytes.Equal(r.ChangeMessage.JSON(), before.ChangeMessage.JSON()) {
		return
	}
	if text, ok := r.ChangeMessage.Text(); ok {
		text, _ = rules.Document(text)
		r.ChangeMessage = event.TextMessage(text)
	} else if rows, ok := r.ChangeMessage.Rows(); ok {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].OldValue, _ = h.maskValue(rows[i].Field, rows[i].OldValue)
			rows[i].NewValue, _ = h.maskValue(rows[i].Field, rows[i].NewValue)
		}
		r.ChangeMessage = event.TableMessage(rows)
	}
}

// maskValue masks a JSON value that a hook has written.
func (h *handle) maskValue(field string, v json.RawMessage) (json.RawMessage, bool) {
	if len(v) == 0 || string(v) == "null" {
		return v, false
	}
	if h.auditor.rules.Name(field) {
		return quote(mask.Redacted), true
	}
	return h.auditor.rules.JSON(v)
}

// after tells Config.After of committed records.
func (h *handle) after(ctx context.Context, records []event.Record) {
	hook := h.auditor.cfg.After
	if hook == nil || len(records) == 0 {
		return
	}
	err := guard("Config.After", func() error { hook(ctx, records); return nil })
	h.auditor.report(ctx, KindHook, err)
}
