package audit_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// qualified is a name of a package and an exported one in it, as text for people and snippets write it.
var qualified = regexp.MustCompile(`\b([a-z][a-z0-9]*)\.([A-Z]\w*)(?:\.([A-Z]\w*))?`)

// TestDocuments_nameWhatExists: what the README and docs say of our packages is there: functions, types,
// constants, and methods and fields of types.
func TestDocuments_nameWhatExists(t *testing.T) {
	t.Parallel()
	packages := map[string]map[string]bool{} // by name of the package: names, and Type.Name
	for _, dir := range strings.Fields(string(goList(t, "-f", "{{.Dir}}", "./..."))) {
		if strings.Contains(dir, string(filepath.Separator)+"internal"+string(filepath.Separator)) {
			continue // documents of users do not name them with their package
		}
		for name, names := range exported(t, dir) {
			if packages[name] == nil {
				packages[name] = names
				continue
			}
			for n := range names {
				packages[name][n] = true
			}
		}
	}
	files := []string{"README.md"}
	more, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, more...)
	checked := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range qualified.FindAllStringSubmatch(string(data), -1) {
			names := packages[m[1]]
			if names == nil || strings.HasPrefix(m[2], "Test") || strings.HasPrefix(m[2], "Benchmark") || strings.HasPrefix(m[2], "Fuzz") {
				continue // of another module, or a test, which another test looks for
			}
			checked++
			if !names[m[2]] {
				t.Errorf("%s: there is no %s.%s", file, m[1], m[2])
				continue
			}
			if m[3] != "" && !names[m[2]+"."+m[3]] && names[m[2]+"."] {
				t.Errorf("%s: %s.%s has no %s", file, m[1], m[2], m[3])
			}
		}
	}
	if checked < 50 {
		t.Errorf("%d names found in %q: the search does not work", checked, files)
	}
}

// exported gives the names that the packages in a folder export: N, and T.N of the types declared there, and
// "T." for those of whom all are known.
func exported(t *testing.T, dir string) map[string]map[string]bool {
	t.Helper()
	out := map[string]map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		names := out[f.Name.Name]
		if names == nil {
			names = map[string]bool{}
			out[f.Name.Name] = names
		}
		for _, d := range f.Decls {
			addDecl(names, d)
		}
	}
	return out
}

func addDecl(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names[d.Name.Name] = true
			return
		}
		recv := d.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		if index, ok := recv.(*ast.IndexExpr); ok {
			recv = index.X
		}
		if id, ok := recv.(*ast.Ident); ok {
			names[id.Name+"."+d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names[n.Name] = true
				}
			case *ast.TypeSpec:
				names[s.Name.Name] = true
				addMembers(names, s)
			}
		}
	}
}

// addMembers adds the fields and methods that a type lists. Of one that embeds another, or is another's
// alias, not all are known.
func addMembers(names map[string]bool, s *ast.TypeSpec) {
	var list *ast.FieldList
	switch x := s.Type.(type) {
	case *ast.StructType:
		list = x.Fields
	case *ast.InterfaceType:
		list = x.Methods
	default:
		return
	}
	all := true
	for _, f := range list.List {
		all = all && len(f.Names) > 0
		for _, n := range f.Names {
			names[s.Name.Name+"."+n.Name] = true
		}
	}
	if all {
		names[s.Name.Name+"."] = true
	}
}
