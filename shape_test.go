package audit

import (
	"strings"
	"testing"
)

func TestStatementShape(t *testing.T) {
	t.Parallel()
	reg := NewRegistry()
	if err := reg.Register(&account{}); err != nil {
		t.Fatal(err)
	}
	tbl := testHandle(t, reg).current(t.Context()).list[0]
	for text, want := range map[string]string{
		`UPDATE accounts SET name = 'secret', age=42 WHERE id IN (1, 2.5)`:       `UPDATE accounts SET name = '?', age = ? WHERE id IN(?, ?.?)`,
		`UPDATE "accounts" SET "name" = "secret" -- secret`:                      `UPDATE "accounts" SET "name" = "?"`,
		`DELETE FROM accounts WHERE id = $1 /* secret */`:                        `DELETE FROM accounts WHERE id = $?`,
		`INSERT INTO accounts VALUES ($x$secret$x$, X'00', 0xfade, 'a''secret')`: `INSERT INTO accounts VALUES('?', X '?', ?, '?')`,
		`UPDATE accounts SET name = E'it\'s secret'`:                             ``,
		``: ``,
	} {
		if got := statementShape(text, tbl); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if got := statementShape("SELECT "+strings.Repeat("x ", 5000), tbl); len(got) > maxStatement+3 {
		t.Errorf("%d bytes", len(got))
	}
}
