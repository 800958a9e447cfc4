// Command testsummary reads the output of go test -json and prints one line for each package, the
// output of failed tests, and a plain summary at the end.
//
//	go test -json ./... | go run ./internal/testsummary -need PostgreSQL,RabbitMQ
//
// It ends with status 1 if a test or package failed, if a test was skipped, or if no test used one of
// the servers named by -need (see internal/testservers): a suite that does not run is a failure. The
// one skip that is allowed says "make test-long", where the test does run. With -allow-skips, for runs
// without servers, skips are only listed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	need := flag.String("need", "", "comma-separated servers that tests must have used")
	allowSkips := flag.Bool("allow-skips", false, "list skipped tests, and do not fail for them")
	flag.Parse()
	report := newReport(os.Stdout)
	if err := report.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	var servers []string
	if *need != "" {
		servers = strings.Split(*need, ",")
	}
	if !report.summarize(servers, *allowSkips) {
		os.Exit(1)
	}
}
