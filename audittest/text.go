package audittest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gormtrail/audit/event"
)

// UpdateVariable is the environment variable that, if it is not empty, makes Golden write its files.
const UpdateVariable = "AUDITTEST_UPDATE"

// Text gives the records for people and golden files, without what differs from run to run: ids of records,
// transactions and batches, hashes, and times.
//
//	CHANGE customer 7 "Ada Lovelace", by john.doe, under employee 3
//	  phone: "0901" -> "0902"
func (rs Records) Text() string {
	var b strings.Builder
	for _, r := range rs {
		b.WriteString(line(r))
	}
	return b.String()
}

// Golden compares Text with a file, and names the first line that differs. With UpdateVariable set it writes
// the file instead: look at the difference before you commit it.
func (rs Records) Golden(tb testing.TB, file string) {
	tb.Helper()
	got := rs.Text()
	if os.Getenv(UpdateVariable) != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			tb.Fatalf("audittest: %v", err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			tb.Fatalf("audittest: %v", err)
		}
		return
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		tb.Fatalf("audittest: there is no golden file %s; with %s=1 the test writes it:\n%s", file, UpdateVariable, got)
	}
	if err != nil {
		tb.Fatalf("audittest: %v", err)
	}
	want := strings.ReplaceAll(string(data), "\r\n", "\n")
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	n := 0
	for n < len(gotLines) && n < len(wantLines) && gotLines[n] == wantLines[n] {
		n++
	}
	tb.Errorf("audit: line %d of %s is %q, want %q; all records:\n%s", n+1, file, lineAt(gotLines, n), lineAt(wantLines, n), indent(got))
}

func lineAt(lines []string, n int) string {
	if n < len(lines) {
		return lines[n]
	}
	return ""
}

// line gives one record, its fields in lines below it.
func line(r event.Record) string {
	var b strings.Builder
	row, under := objects(r)
	repr := r.ObjectRepr
	if under != (object{}) {
		repr = r.SourceRepr
	}
	fmt.Fprintf(&b, "%s %s", r.Action, row)
	if repr != "" {
		fmt.Fprintf(&b, " %q", repr)
	}
	add := func(name, value string) {
		if value != "" {
			b.WriteString(", " + name + value)
		}
	}
	by := r.Username
	if by == "" {
		by = r.UserID
	}
	add("by ", by)
	add("for ", r.ImpersonatorID)
	add("under ", under.String())
	add("tenant ", r.TenantID)
	add("source ", r.Source)
	add("outcome ", r.Outcome)
	add("reason ", r.Reason)
	if r.BatchID != "" {
		add("in batch ", string(r.BatchAction))
	}
	if r.BatchSummary {
		fmt.Fprintf(&b, ", summary of %d objects and %d errors", r.TotalProcessed, r.ErrorCount)
	}
	if r.IsTruncated {
		b.WriteString(", cut")
	}
	b.WriteByte('\n')
	if message, ok := r.ChangeMessage.Text(); ok && len(r.Changes) == 0 && message != "" {
		fmt.Fprintf(&b, "  %s\n", message)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "  %s: %s\n", c.Field, changeText(c))
	}
	for _, name := range sortedNames(r.Extra) {
		fmt.Fprintf(&b, "  extra %s: %s\n", name, valueText(r.Extra[name]))
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "  error: %s\n", e)
	}
	return b.String()
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func indent(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return "  " + strings.ReplaceAll(s, "\n", "\n  ") + "\n"
}
