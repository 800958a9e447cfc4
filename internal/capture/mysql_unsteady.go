package capture

import (
	"database/sql"
	"slices"
	"strings"

	"github.com/gormtrail/audit/internal/sqltext"
)

// changing are functions that give another value each time they are asked.
var changing = []string{"RAND", "UUID", "UUID_SHORT", "RANDOM_BYTES", "SYSDATE", "SYS_GUID", "NEXTVAL"}

// unsteady reports whether a condition may find other rows when it is asked again: a SELECT in front of the
// statement then says nothing of what the statement does.
func unsteady(condition string) bool {
	if !strings.ContainsAny(condition, "(:") {
		return false
	}
	s := sqltext.Scan(condition)
	for {
		t, ok := s.Next()
		switch {
		case !ok:
			return false
		case t.Kind == sqltext.Other && t.Text == ":" && strings.HasPrefix(s.Rest(), "="):
			return true
		case t.Kind == sqltext.Word && slices.ContainsFunc(changing, t.Is):
			// And no column of that name.
			if strings.HasPrefix(strings.TrimLeft(s.Rest(), " \t\r\n\f"), "(") {
				return true
			}
		}
	}
}

// sum runs a statement whose rows cannot be known, and lets a summary stand for them: what the server counts.
func (mysql) sum(w *write, op Op) (*outcome, error) {
	if w.wants {
		return nil, errUnread
	}
	res, err := w.send()
	if err != nil {
		return nil, err
	}
	return &outcome{result: res}, mysql{}.count(w, res, op)
}

// count gives a summary of a statement whose rows are not known.
func (mysql) count(w *write, res sql.Result, op Op) error {
	n, err := res.RowsAffected()
	w.drop()
	w.changed, w.op = n, op
	return err
}
