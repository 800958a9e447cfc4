package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// line is one line of go test -json; see go doc test2json.
type line struct {
	Time       time.Time
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
	Key, Value string
}

// test names a test of a package; the name is empty for the package itself.
type test struct {
	pkg, name string
}

func (t test) String() string {
	return strings.TrimSuffix(t.pkg+"."+t.name, ".")
}

// report is what is known of a run.
type report struct {
	out         io.Writer
	output      map[test][]string // of those that have not ended
	passed      map[string]int    // tests and subtests by package
	failed      []test
	skipped     map[test]string // with the reason
	servers     map[string]map[test]bool
	packages    int // with tests
	untested    []string
	first, last time.Time
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, output: map[test][]string{}, passed: map[string]int{}, skipped: map[test]string{},
		servers: map[string]map[test]bool{},
	}
}

// say prints; a closed standard output stops the command anyway.
func (r *report) say(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

// read takes in all lines; those that are not of go test -json are printed as they are.
func (r *report) read(in io.Reader) error {
	buffered := bufio.NewReader(in)
	for {
		raw, err := buffered.ReadBytes('\n')
		if len(raw) > 0 {
			var l line
			if !bytes.HasPrefix(raw, []byte("{")) || json.Unmarshal(raw, &l) != nil || l.Action == "" {
				r.say("%s", raw)
			} else {
				r.add(l)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(l line) {
	if !l.Time.IsZero() {
		if r.first.IsZero() {
			r.first = l.Time
		}
		r.last = l.Time
	}
	t := test{l.Package, l.Test}
	switch l.Action {
	case "build-output":
		r.say("%s", l.Output)
	case "build-fail":
		r.failed = append(r.failed, test{pkg: "build of " + l.ImportPath})
	case "output":
		r.output[t] = append(r.output[t], l.Output)
	case "attr":
		if l.Key == "server" {
			if r.servers[l.Value] == nil {
				r.servers[l.Value] = map[test]bool{}
			}
			r.servers[l.Value][t] = true
		}
	case "pass", "fail", "skip":
		r.end(t, l.Action, l.Elapsed)
		delete(r.output, t)
	}
}

// end notes how a test or package has ended.
func (r *report) end(t test, action string, seconds float64) {
	switch {
	case t.name == "" && action == "skip":
		r.untested = append(r.untested, t.pkg)
		return
	case t.name == "":
		r.packages++
		r.say("%-5s %-60s %6.1f s %5d passed\n", strings.ToUpper(action), t.pkg, seconds, r.passed[t.pkg])
	}
	switch action {
	case "pass":
		if t.name != "" {
			r.passed[t.pkg]++
		}
	case "fail":
		r.failed = append(r.failed, t)
		for _, o := range r.output[t] {
			r.say("    %s", o)
		}
		if t.name == "" {
			r.unfinished(t.pkg)
		}
	case "skip":
		r.skipped[t] = reason(r.output[t])
	}
}

// maxCrash is how many lines of a crash are printed.
const maxCrash = 60

// unfinished prints what a package that has failed said in tests that did not end: why it crashed or ran
// out of time.
func (r *report) unfinished(pkg string) {
	for t, output := range r.output {
		if t.pkg != pkg || t.name == "" {
			continue
		}
		i := slices.IndexFunc(output, func(o string) bool {
			return strings.HasPrefix(o, "panic: ") || strings.HasPrefix(o, "fatal error: ")
		})
		if i < 0 {
			continue
		}
		for _, o := range output[i:min(len(output), i+maxCrash)] {
			r.say("    %s", o)
		}
	}
}

// reason gives what a test said before it was skipped, without the lines of the test runner.
func reason(output []string) string {
	var said []string
	for _, o := range output {
		if o = strings.TrimSpace(o); o != "" && !strings.HasPrefix(o, "=== ") && !strings.HasPrefix(o, "--- ") {
			said = append(said, o)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// left reports whether the skip is one that the long run does not have.
func left(why string) bool { return strings.Contains(why, "make test-long") }

// summarize prints the summary, and reports whether the run may count as a success.
func (r *report) summarize(need []string, allowSkips bool) bool {
	total := 0
	for _, n := range r.passed {
		total += n
	}
	var bad, later, skips []string
	byName := func(a, b test) int { return strings.Compare(a.String(), b.String()) }
	for _, t := range slices.SortedFunc(maps.Keys(r.skipped), byName) {
		said := fmt.Sprintf("%s: %s", t, r.skipped[t])
		if left(r.skipped[t]) {
			later = append(later, said)
		} else {
			skips = append(skips, "skipped: "+said)
		}
	}
	if !allowSkips {
		bad, skips = skips, nil
	}
	for _, t := range slices.SortedFunc(slices.Values(r.failed), byName) {
		bad = append(bad, "failed:  "+t.String())
	}
	for t := range r.output {
		if t.name != "" && !strings.Contains(t.name, "/") {
			bad = append(bad, "no end:  "+t.String())
		}
	}
	for _, s := range need {
		if len(r.servers[s]) == 0 {
			bad = append(bad, "no test used "+s)
		}
	}
	if r.packages == 0 {
		bad = append(bad, "no package was tested")
	}
	r.say("\n%d packages, %d tests passed, %d failed, %d skipped, %d left to make test-long, in %s\n",
		r.packages, total, len(r.failed), len(r.skipped)-len(later), len(later), r.last.Sub(r.first).Round(time.Second))
	for _, s := range slices.Sorted(maps.Keys(r.servers)) {
		r.say("  %4d tests used %s\n", len(r.servers[s]), s)
	}
	for _, p := range slices.Sorted(slices.Values(r.untested)) {
		r.say("  no test files: %s\n", p)
	}
	for _, s := range skips {
		r.say("  %s\n", s)
	}
	for _, s := range later {
		r.say("  left to make test-long: %s\n", s)
	}
	slices.Sort(bad)
	for _, b := range bad {
		r.say("  %s\n", b)
	}
	if len(bad) > 0 {
		r.say("FAIL\n")
		return false
	}
	r.say("PASS\n")
	return true
}
