package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	got := table("goos: linux\nBenchmarkWrite/callers=64-2   \t  10\t  123 ns/op\t  14190 records/s\t  14.7 ratio\nPASS\nBenchmarkRequest-2  300 0 ns/op 1.2 frozen/up 99 B/op\n")
	want := "| callers=64 records/s | 14190 |\n| callers=64 ratio | **14.7** |\n| frozen/up | **1.2** |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	once := put([]byte("# Benchmarks\n\n<!-- by hand -->\n\ntext\n"), []byte("first\n"))
	if want := "# Benchmarks\n\n<!-- by hand -->\n\ntext\n\n## Delivery\n\n<!-- delivery -->\n\nfirst\n\n<!-- end of delivery -->\n"; string(once) != want {
		t.Errorf("got\n%s", once)
	}
	twice := put(append(once, "\nbehind\n"...), []byte("second\n"))
	if !strings.Contains(string(twice), "second\n\n<!-- end of delivery -->\n\nbehind\n") || strings.Contains(string(twice), "first") {
		t.Errorf("got\n%s", twice)
	}
}
