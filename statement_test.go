package audit

import "testing"

func TestWithoutValues(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`UPDATE "t" SET "a1"=$1 WHERE ssn = 123456789 AND n IN (1,2, -3.5) AND k = $12`: `UPDATE "t" SET "a1"=$1 WHERE ssn = ? AND n IN (?,?, -?) AND k = $12`,
		`DELETE FROM "2fa" WHERE x = 'it''s' AND y = 0xBEEF`:                            `DELETE FROM "2fa" WHERE x = '?' AND y = ?`,
		"UPDATE `t` SET `a`=? WHERE b = \"secret\"":                                     "UPDATE `t` SET `a`=? WHERE b = \"?\"",
		`UPDATE "t" SET a=$1 WHERE b = E'x\'secret'`:                                    `UPDATE …`,
		`DELETE FROM t WHERE b = $$secret$$`:                                            `DELETE …`,
		`DELETE FROM t WHERE b = $q$secret$q$`:                                          `DELETE …`,
	} {
		if got := withoutValues(in); got != want {
			t.Errorf("withoutValues(%s)\n got %s\nwant %s", in, got, want)
		}
	}
}
