package audit

import (
	"database/sql"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/sqltext"
)

// isRaw reports whether st only names a table that SQL text wrote.
func isRaw(st *gorm.Statement) bool { return st.Schema == nil && st.Dest == nil && st.Model == nil }

// unattributed records that SQL text wrote a table, without images.
func (h *handle) unattributed(st *gorm.Statement) {
	reading := false
	switch st.DB.Statement.Dest.(type) {
	case *sql.Rows, *sql.Row:
		reading = true
		// Its rows are not read yet, so that its connection is not free, and maybe there is no other.
		if _, inTx := st.DB.Statement.ConnPool.(gorm.TxCommitter); h.txSink != nil && !inTx {
			return
		}
	}
	ctx := st.Context
	if h.auditor.cfg.Scope == ScopeContext && !scopeOf(ctx).active() {
		return
	}
	t := h.current(ctx).find(st)
	if t == nil {
		return
	}
	name := st.Table
	if st.TableExpr != nil {
		name = st.TableExpr.SQL
	}
	text := st.DB.Statement.SQL.String()
	writes := sqltext.Writes(text)
	action := event.ActionChange
	for _, w := range writes {
		if w.Table == name {
			action = actionOf(w.Verb)
			break
		}
	}
	w, err := whoOf(ctx)
	h.auditor.report(ctx, KindModel, err)
	h.traced(ctx, w)
	extra := map[string]any{ExtraNote: capture.ReasonRaw}
	if shape := statementShape(text, t); shape != "" {
		extra[ExtraStatement] = shape
	}
	if len(writes) == 1 && !reading {
		extra[ExtraRows] = st.DB.RowsAffected
	}
	p := &pending{handle: h, name: name, who: w, time: h.auditor.cfg.Clock(), entry: &entry{action: action, unattributed: true}}
	p.entry.base = event.Record{
		ObjectType: t.model.info.ModelName, Extra: extra,
		ChangeMessage: event.TextMessage("SQL text wrote the table; its rows and values are not known"),
	}
	// The statement has succeeded; that its record fails cannot undo it.
	if err := capture.Add(st.DB, p); err != nil {
		h.auditor.report(ctx, KindSink, err)
	}
}

func actionOf(verb string) event.Action {
	switch verb {
	case "INSERT", "REPLACE", "COPY":
		return event.ActionAdd
	case "DELETE", "TRUNCATE":
		return event.ActionDelete
	}
	return event.ActionChange
}
