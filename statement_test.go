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
		// Written by hand.
		`UPDATE accounts SET name = 'secret', age=42 WHERE id IN (1, 2.5)`:       `UPDATE accounts SET name = '?', age=? WHERE id IN (?, ?)`,
		`UPDATE "accounts" SET "name" = "secret" -- secret`:                      `UPDATE "accounts" SET "name" = "?"`,
		`DELETE FROM accounts WHERE id = $1 /* secret */`:                        `DELETE FROM accounts WHERE id = $1`,
		`/* secret */DELETE/* secret */FROM accounts`:                            `DELETE FROM accounts`,
		`INSERT INTO accounts VALUES ($x$secret$x$, X'00', 0xfade, 'a''secret')`: `INSERT INTO accounts VALUES ('?', X'?', ?, '?')`,
		`UPDATE accounts SET name = E'it\'s secret'`:                             `UPDATE …`,
		`/* secret */ UPDATE accounts SET name = 'secret\'`:                      `UPDATE …`,
		`DELETE FROM accounts WHERE name = $$secret$$`:                           `DELETE FROM accounts WHERE name = '?'`,
		`DELETE FROM accounts WHERE name = 'secret`:                              `DELETE FROM accounts WHERE name = '?'`,
		"": "",
		// Built by GORM, with conditions of the application.
		`UPDATE "accounts" SET "name"=$1 WHERE ssn = 123456789 AND n IN (1,2, -3.5) AND k = $12`: `UPDATE "accounts" SET "name"=$1 WHERE ssn = ? AND n IN (?,?, -?) AND k = $12`,
		`DELETE FROM "hrm"."accounts" WHERE "accounts"."x" = 'it''s' AND y<>0xBEEF`:              `DELETE FROM "hrm"."accounts" WHERE "accounts"."x" = '?' AND y<>?`,
		"UPDATE `accounts` SET `name`=? WHERE b = \"secret\" AND `email` = 1e9":                  "UPDATE `accounts` SET `name`=? WHERE b = \"?\" AND `email` = ?",
		`UPDATE "2fa" SET a1=a1+1`: `UPDATE "?" SET a1=a1+?`,
	} {
		if got := statementShape(text, tbl); got != want || strings.Contains(got, "secret") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if got := statementShape("SELECT "+strings.Repeat("x ", 5000), tbl); len(got) > maxStatement+3 {
		t.Errorf("%d bytes", len(got))
	}
}
