package main

import (
	"strings"
	"testing"
)

const (
	passedTest = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
`
	passedPackage = `{"Action":"pass","Package":"p","Elapsed":0.1}
`
	usedServer = `{"Action":"attr","Package":"p","Test":"TestA","Key":"server","Value":"PostgreSQL"}
`
	skippedTest = `{"Action":"output","Package":"p","Test":"TestS","Output":"=== RUN   TestS\n"}
{"Action":"output","Package":"p","Test":"TestS","Output":"    a_test.go:1: REASON\n"}
{"Action":"skip","Package":"p","Test":"TestS"}
`
)

func TestSummarize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in   string
		need       []string
		ok         bool
		says       string
		allowSkips bool
	}{
		{"all passed", passedTest + usedServer + passedPackage, []string{"PostgreSQL"}, true, "1 tests used PostgreSQL", false},
		{"nothing ran", "", nil, false, "no package was tested", false},
		{"no test used a server", passedTest + passedPackage, []string{"PostgreSQL"}, false, "no test used PostgreSQL", false},
		{"a test was skipped", skippedTest + passedPackage, nil, false, "skipped: p.TestS: a_test.go:1: REASON", false},
		{"a test was skipped without servers", skippedTest + passedPackage, nil, true, "skipped: p.TestS: a_test.go:1: REASON", true},
		{
			"a test for the long run", strings.ReplaceAll(skippedTest, "REASON", "10 minutes: make test-long") + passedPackage, nil,
			true, "left to make test-long: p.TestS", false,
		},
		{"a package without tests", passedTest + passedPackage + `{"Action":"skip","Package":"q"}` + "\n", nil, true, "no test files: q", false},
		{"a test failed", `{"Action":"output","Package":"p","Test":"TestA","Output":"got 1\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`, nil, false, "    got 1", false},
		{"a package failed after its tests", passedTest + `{"Action":"output","Package":"p","Output":"leaked\n"}
{"Action":"fail","Package":"p"}
`, nil, false, "failed:  p\n", false},
		{"a build failed", passedTest + passedPackage + `{"ImportPath":"q","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"q","Action":"build-fail"}
`, nil, false, "undefined: x", false},
		{"a test did not end", passedTest + passedPackage + `{"Action":"output","Package":"q","Test":"TestB","Output":"=== RUN"}
`, nil, false, "no end:  q.TestB", false},
		{
			"a test ran out of time", passedTest + `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN"}
{"Action":"output","Package":"p","Test":"TestB/x","Output":"panic: test timed out after 10m0s\n"}
{"Action":"fail","Package":"p"}
`, nil, false, "    panic: test timed out after 10m0s", false,
		},
		{"other output", "panic: x\n" + passedTest + passedPackage, nil, true, "panic: x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if ok := r.summarize(c.need, c.allowSkips); ok != c.ok {
				t.Errorf("success is %t, want %t", ok, c.ok)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("the summary lacks %q:\n%s", c.says, out.String())
			}
		})
	}
}
