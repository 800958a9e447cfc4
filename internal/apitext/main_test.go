package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAPI_isWrittenDown: whoever changes what is exported sees it, and says so in docs/api.txt and the changelog.
func TestAPI_isWrittenDown(t *testing.T) {
	t.Parallel()
	got, err := list("../..")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("docs/api.txt is not what the code exports. If the change is meant: go run ./internal/apitext -o docs/api.txt, "+
			"and a line in CHANGELOG.md; what is removed or changed is for a new major version, once there is a 1.0.\n%s", diff)
	}
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/a.go", []byte(`package a

// Doc.
type T[E any] struct {
	A, B int // comment
	c    string
}

// M does.
func (t *T[E]) M(x ...int) (n int, err error) { return 0, nil }
func (t *T[E]) m()                            {}
func (hidden) M()                             {}

type hidden struct{}
type I interface { M(); m() }

const C, d = 1, 2
var V []string
func F() { panic(1) }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := declarations(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"const C", "func (t *T[E]) M(x ...int) (n int, err error)", "func F()", "type I interface { M() }", "type T[E any] struct { A, B int }", "var V []string",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
