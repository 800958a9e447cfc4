package main

import (
	"strings"
	"testing"
)

func TestRun_theJobIsNamed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const line = "CHANGE invoice %s by reminders (system), because overdue on 2026-11-25: status\n"
	want := strings.Replace(line, "%s", "1", 1) + strings.Replace(line, "%s", "2", 1)
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
