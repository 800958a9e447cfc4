package tx

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse_findsWhatControlsTheTransaction(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]control{
		"SAVEPOINT a":                         {{verb: verbSavepoint, name: "a"}},
		"savepoint \"A b\"":                   {{verb: verbSavepoint, name: "A b"}},
		"/* x */ SAVEPOINT `a``b` ;":          {{verb: verbSavepoint, name: "a`b"}},
		"-- x\nRELEASE SAVEPOINT a":           {{verb: verbRelease, name: "a"}},
		"RELEASE a":                           {{verb: verbRelease, name: "a"}},
		"RELEASE savepoint":                   {{verb: verbRelease, name: "savepoint"}},
		"ROLLBACK":                            {{verb: verbRollback}},
		"ROLLBACK WORK":                       {{verb: verbRollback}},
		"ROLLBACK TRANSACTION TO SAVEPOINT a": {{verb: verbRollbackTo, name: "a"}},
		"rollback to a;":                      {{verb: verbRollbackTo, name: "a"}},
		"ROLLBACK TO savepoint":               {{verb: verbRollbackTo, name: "savepoint"}},
		"ABORT":                               {{verb: verbRollback}},
		"BEGIN":                               {{verb: verbBegin}},
		"START TRANSACTION ISOLATION LEVEL SERIALIZABLE": {{verb: verbBegin}},
		"COMMIT":                                    {{verb: verbCommit}},
		"END TRANSACTION":                           {{verb: verbCommit}},
		"COMMIT AND CHAIN":                          {{verb: verbCommit, chain: true}},
		"rollback work and chain":                   {{verb: verbRollback, chain: true}},
		"COMMIT WORK AND NO CHAIN":                  {{verb: verbCommit}},
		"COMMIT PREPARED 'x'":                       nil,
		"SELECT 1":                                  nil,
		"SELECT ';COMMIT'":                          nil,
		"UPDATE a SET b = 1; COMMIT":                {{verb: verbCommit}},
		"UPDATE a SET b = ';COMMIT'; ROLLBACK TO x": {{verb: verbRollbackTo, name: "x"}},
		"SAVEPOINT a; INSERT INTO b VALUES (1); RELEASE a":                 {{verb: verbSavepoint, name: "a"}, {verb: verbRelease, name: "a"}},
		"CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = 1; END": nil,
		"DO $$ BEGIN UPDATE b SET c = 1; END $$":                           nil,
		"DO $x$ BEGIN; COMMIT; $x$; ROLLBACK":                              {{verb: verbRollback}},
		"SAVEPOINT":                                                        nil,
		"":                                                                 nil,
		";;":                                                               nil,
	} {
		if diff := cmp.Diff(want, parse(text, false), cmp.AllowUnexported(control{})); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}

func TestParse_definitionsThatCommit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"ALTER TABLE a ADD b int": true, "create table a (b int)": true, "DROP INDEX a ON b": true, "TRUNCATE a": true,
		"CREATE TEMPORARY TABLE a (b int)": false, "DROP TEMPORARY TABLE a": false, "INSERT INTO a VALUES (1)": false,
	} {
		if got := len(parse(text, true)) > 0; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"SAVEPOINT a", "ROLLBACK TO \"a", "/* COMMIT", "$a$;", "BEGIN;END;"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { parse(s, true) })
}
