package report_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/gormtrail/audit/internal/bench/report"
)

func TestWrite_keepsWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "b.md")
	for _, step := range []struct{ document, want string }{
		{"# New\n", "# New\n"},
		{"# Newer\n\n<!-- by hand -->\ntext\n", "# Newer\n\n<!-- by hand -->\ntext\n"},
		{"# Newest\n", "# Newest\n\n<!-- by hand -->\ntext\n"},
	} {
		if err := report.Write(file, []byte(step.document)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	if err := report.Write("", nil); err != nil {
		t.Error(err)
	}
}

func TestMade(t *testing.T) {
	t.Parallel()
	want := regexp.MustCompile(`^on \d{4}-\d\d-\d\d with \S+ on \w+/\w+, \d+ CPUs, load \S+ before the run$`)
	if got := report.Made(); !want.MatchString(got) {
		t.Errorf("got %q", got)
	}
}
