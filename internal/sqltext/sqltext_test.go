package sqltext_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/internal/sqltext"
)

func TestWrites_namesTheTables(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]sqltext.Write{
		`UPDATE orders SET a = 1`:                                             {{"UPDATE", "orders"}},
		` update "hrm"."orders" o set a = 1`:                                  {{"UPDATE", "hrm.orders"}},
		"UPDATE OR IGNORE `orders` SET a = 1":                                 {{"UPDATE", "orders"}},
		`/* c */ DELETE FROM ONLY orders -- x`:                                {{"DELETE", "orders"}},
		`INSERT OR REPLACE INTO orders VALUES ('UPDATE x')`:                   {{"INSERT", "orders"}},
		`INSERT INTO a SELECT * FROM b ON CONFLICT DO UPDATE SET x = 1`:       {{"INSERT", "a"}},
		`WITH d AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM d`: {{"DELETE", "a"}, {"INSERT", "b"}},
		`SELECT * FROM a FOR UPDATE`:                                          nil,
		`SELECT 1; TRUNCATE TABLE a, b`:                                       {{"TRUNCATE", "a"}},
		`(SELECT 1)`:                                                          nil,
		`ALTER TABLE a ADD b int`:                                             {{"ALTER", ""}},
		`CREATE TRIGGER x AFTER UPDATE ON a BEGIN DELETE FROM b; END`:         {{"CREATE", ""}},
		`DO $$ BEGIN DELETE FROM a; END $$`:                                   nil,
		`UPDATE`:                                                              nil,
		`DELETE FROM`:                                                         nil,
		`INSERT 'x`:                                                           nil,
		``:                                                                    nil,
		`MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = 1`: {{"MERGE", "a"}},
	} {
		if diff := cmp.Diff(want, sqltext.Writes(text)); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func FuzzWrites(f *testing.F) {
	for _, s := range []string{"UPDATE a SET b = 'c'", "$x$ y $x$ /* ", `"a`, "-- x\nDELETE FROM `a`.`b`"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { sqltext.Writes(s) })
}
