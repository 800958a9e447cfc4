package query

import (
	"bufio"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/gormtrail/audit/event"
)

// csvColumns are the columns of an export in their order. changes has the columns and values in JSON; extra
// all fields of the application's own.
var csvColumns = []string{
	"timestamp", "log_id", "action", "object_type", "object_id", "object_repr", "user_id", "username", "full_name", "tenant_id",
	"change_message", "changed_fields", "ip_address", "user_agent", "session_key", "request_id", "trace_id", "reason", "outcome", "source",
	"source_model", "source_pk", "source_repr", "batch_id", "batch_action", "tx_id", "service", "changes", "extra",
}

// formulaStarts begin what a spreadsheet takes for a formula or a command, also those that it reads as the
// half-width ones.
const formulaStarts = "=+-@\uff1d\uff0b\uff0d\uff20"

// csvCell gives a value that no spreadsheet takes for a formula: behind an apostrophe, if it begins with one
// of = + - @, a control character, or one of them behind blanks or quotes (OWASP, CSV injection; CVE-2021-41270
// was the tab). Line breaks and quotes are for the quoting.
func csvCell(v string) string {
	v = strings.ToValidUTF8(v, "\uFFFD")
	if strings.ContainsRune(v, 0) {
		v = strings.ReplaceAll(v, "\x00", "\uFFFD")
	}
	if v == "" {
		return v
	}
	first := []rune(v)[0]
	trimmed := strings.TrimLeftFunc(v, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf) || strings.ContainsRune(`"'`, r)
	})
	if unicode.IsControl(first) || trimmed != "" && strings.ContainsRune(formulaStarts, []rune(trimmed)[0]) {
		return "'" + v
	}
	return v
}

// writeCSVRow writes all cells quoted, as RFC 4180 says, so that no separator of a spreadsheet's own
// (semicolon, tab) can begin another cell.
func writeCSVRow(w *bufio.Writer, cells []string) {
	for i, cell := range cells {
		if i > 0 {
			_ = w.WriteByte(',') // the writer keeps its error for Flush
		}
		_ = w.WriteByte('"')
		_, _ = w.WriteString(strings.ReplaceAll(cell, `"`, `""`))
		_ = w.WriteByte('"')
	}
	_, _ = w.WriteString("\r\n")
}

// csvRow gives the cells of a record, those that the grant hides empty.
func csvRow(r event.Record, grant Grant, columns []string) ([]string, error) {
	redact(&r, grant)
	o, err := visible(&r, grant)
	if err != nil {
		return nil, err
	}
	cells := make([]string, len(columns))
	for _, m := range o {
		if i := slices.Index(columns, m.name); i >= 0 {
			cells[i] = csvCell(cellText(m))
		}
	}
	return cells, nil
}

// cellText gives a member of a record as text: a text as it is, names joined, all else in JSON.
func cellText(m member) string {
	var s string
	if len(m.value) > 0 && m.value[0] == '"' && json.Unmarshal(m.value, &s) == nil {
		return s
	}
	var names []string
	if m.name == "changed_fields" && json.Unmarshal(m.value, &names) == nil {
		return strings.Join(names, ", ")
	}
	return string(m.value)
}
