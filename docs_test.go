package audit_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs_nameTestsThatExist looks for each test that a document gives as proof.
func TestDocs_nameTestsThatExist(t *testing.T) {
	t.Parallel()
	there := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != ".":
			return fs.SkipDir // what is installed for the tests
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		for _, f := range function.FindAllSubmatch(source, -1) {
			there[string(f[1])] = true
		}
		return err
	})
	must(t, err)
	pages, err := filepath.Glob("docs/*.md")
	must(t, err)
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)(?:_|[A-Z])\w*`)
	quoted := regexp.MustCompile("`[^`\n]+`")
	count := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		must(t, err)
		for _, words := range quoted.FindAllString(string(text), -1) {
			for _, name := range named.FindAllString(words, -1) {
				if count++; !there[name] {
					t.Errorf("%s names %s, which does not exist", page, name)
				}
			}
		}
	}
	if count < 100 {
		t.Errorf("%d names of tests were found, want some hundred", count)
	}
}
