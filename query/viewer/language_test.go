package viewer_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/viewer"
)

// placeholders are the parts of a text that are replaced.
var placeholders = regexp.MustCompile(`\{\w+\}`)

// Vietnamese has all texts of the scripts, and no other.
func TestLanguage_vietnameseIsComplete(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("assets/lang-vi.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(data, &texts); err != nil {
		t.Fatal(err)
	}
	delete(texts, "@name")
	scripts, err := filepath.Glob("assets/*.js")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	text := `"(?:[^"\\]|\\.)*"`
	call := regexp.MustCompile(`\bt\((?:\w+ \? (` + text + `) : )?(` + text + `)`)
	for _, name := range scripts {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(source), -1) {
			for _, quoted := range m[1:] {
				var key string
				if quoted == "" {
					continue
				}
				if err := json.Unmarshal([]byte(quoted), &key); err != nil {
					t.Fatalf("%s: %s: %v", name, quoted, err)
				}
				used[key] = true
				if texts[key] == "" {
					t.Errorf("%s: %q is not in Vietnamese", name, key)
				}
			}
		}
	}
	for key, value := range texts {
		if !used[key] {
			t.Errorf("no script has %q", key)
		}
		first, _, _ := strings.Cut(key, "|")
		for _, p := range placeholders.FindAllString(first, -1) {
			if !strings.Contains(value, p) {
				t.Errorf("%q lacks %s", value, p)
			}
		}
	}
	if len(used) < 200 {
		t.Errorf("only %d texts were found", len(used))
	}
}

func TestLanguage_badOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		language string
		files    fstest.MapFS
		want     string
	}{
		"unknown": {"fr", nil, `Options.Language is "fr", want one of en, vi`},
		"tag":     {"", fstest.MapFS{"my words.json": {Data: []byte(`{}`)}}, "no language tag"},
		"json":    {"", fstest.MapFS{"fr.json": {Data: []byte(`["a"]`)}}, "want a JSON object"},
		"large":   {"", fstest.MapFS{"fr.json": {Data: make([]byte, 300<<10)}}, "at most 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.Language = c.language
			if c.files != nil {
				o.Languages = c.files
			}
			err := viewer.Mount(gin.New(), o)
			if !errors.Is(err, query.ErrOptions) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
