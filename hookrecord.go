package audit

import (
	"context"
	"maps"
	"slices"

	"github.com/gormtrail/audit/event"
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
			h.maskAgain(&asked)
			kept = append(kept, asked)
		}
	}
	return kept, vetoed
}

// maskAgain masks what a hook may have written.
func (h *handle) maskAgain(r *event.Record) {
	rules := &h.auditor.rules
	h.maskExtra(r)
	for _, text := range []*string{&r.Reason, &r.ObjectRepr, &r.SourceRepr} {
		*text, _ = rules.Text(*text)
	}
	if text, ok := r.ChangeMessage.Text(); ok {
		if masked, ok := rules.Text(text); ok {
			r.ChangeMessage = event.TextMessage(masked)
		}
	}
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
