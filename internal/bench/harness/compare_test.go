package harness

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/testservers"
)

// TestCompare_tellsWhatIsRecorded compares the own variants, and one that cannot be installed.
func TestCompare_tellsWhatIsRecorded(t *testing.T) {
	t.Parallel()
	further := []Variant{{Name: "unable", Install: func(*gorm.DB) (Installed, error) { return nil, errors.New("not here") }}}
	for section, tables := range map[string]int{"PostgreSQL": 2, "SQLite": 1} {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			var out, details bytes.Buffer
			err := Compare(t.Context(), &out, &details, Options{
				PostgresDSN: testservers.Postgres(t), Rounds: 1, Writes: 1, Resident: 10, Section: section,
			}, further)
			if err != nil {
				t.Fatal(err)
			}
			// Ours and the naive way record each of the operations, and plain GORM none.
			if n, want := strings.Count(out.String(), "| "+recordedAll+" |"), tables*3*len(compared.operations); n != want {
				t.Errorf("%d times %q, want %d:\n%s%s", n, recordedAll, want, out.String(), details.String())
			}
			if !strings.Contains(details.String(), "left out: unable: not here") {
				t.Errorf("details are %q", details.String())
			}
		})
	}
}

func TestCompare_refusesNothingToMeasure(t *testing.T) {
	t.Parallel()
	if err := Compare(t.Context(), &bytes.Buffer{}, &bytes.Buffer{}, Options{Writes: 1}, nil); err == nil {
		t.Error("no error")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	type values = map[string]any
	before := values{"id": 1.0, "name": "a", "balance": 1.5, "active": true, "updatedat": "2026-01-02T03:04:05.000001Z"}
	after := values{"id": 1.0, "name": "b", "balance": 1.5, "active": true, "updatedat": "2026-01-02T03:04:06Z"}
	for _, c := range []struct {
		name          string
		before, after values
		records       []Recorded
		want          string
	}{
		{"no record", before, after, nil, recordedNothing},
		{"update", before, after, []Recorded{{"1", values{"name": "a"}, values{"Name": "b"}}}, recordedAll},
		{"update of other rows too", before, after, []Recorded{{"2", nil, nil}, {"1", values{"name": "a"}, values{"name": "b"}}}, recordedAll},
		{"update with other encodings", before, after, []Recorded{{"1", values{"name": "a", "active": 1.0, "balance": "1.50", "updated_at": "2026-01-02 03:04:05+00:00"}, values{"name": "b"}}}, recordedAll},
		{"no old values", before, after, []Recorded{{"1", nil, values{"name": "b"}}}, recordedNew},
		{"old value is the new one", before, after, []Recorded{{"1", values{"name": "b"}, values{"name": "b"}}}, recordedWrong},
		{"new value is the old one", before, after, []Recorded{{"1", nil, values{"name": "a"}}}, recordedWrong},
		{"another row", before, after, []Recorded{{"", nil, values{"name": "b"}}}, recordedWrong},
		{"key only", before, after, []Recorded{{"1", nil, nil}}, recordedKey},
		{"create", nil, after, []Recorded{{"1", nil, after}}, recordedAll},
		{"create in part", nil, after, []Recorded{{"1", nil, values{"name": "b"}}}, recordedPart},
		{"create with old values", nil, after, []Recorded{{"1", values{"name": "a"}, after}}, recordedWrong},
		{"delete", before, nil, []Recorded{{"1", before, nil}}, recordedAll},
		{"delete of a stale image", before, nil, []Recorded{{"1", after, nil}}, recordedWrong},
		{"delete, key only", before, nil, []Recorded{{"1", nil, nil}}, recordedKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if word, detail := judge(c.before, c.after, c.records); word != c.want {
				t.Errorf("got %q (%s), want %q", word, detail, c.want)
			}
		})
	}
}
