// Command apitext writes down what the public packages export, so that a change of it is seen in a review, and a
// removal is not made by accident.
//
//	go run ./internal/apitext -o docs/api.txt
//
// Each line is a declaration, without bodies, values and comments, under the path of its package; unexported fields and
// methods are left out. The test of this package fails if the file is not what the code exports.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/gormtrail/audit"

func main() {
	out := flag.String("o", "", "file to write, instead of standard output")
	flag.Parse()
	text, err := list(".")
	if err == nil && *out != "" {
		err = os.WriteFile(*out, text, 0o644) //nolint:gosec // a document for all
	} else if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "apitext:", err)
		os.Exit(1)
	}
}

// list gives the declarations of all public packages below root.
func list(root string) ([]byte, error) {
	var out bytes.Buffer
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case rel == ".":
		case strings.HasPrefix(name, "."), slices.Contains([]string{"internal", "testdata", "examples", "cmd", "test", "tools", "docs", "deploy"}, name):
			return fs.SkipDir
		}
		lines, err := declarations(path)
		if err != nil || len(lines) == 0 {
			return err
		}
		fmt.Fprintf(&out, "package %s\n", strings.TrimSuffix(module+"/"+filepath.ToSlash(rel), "/."))
		for _, line := range lines {
			fmt.Fprintf(&out, "\t%s\n", line)
		}
		return nil
	})
	return out.Bytes(), err
}

// declarations gives what the package in a folder exports, one line each, sorted.
func declarations(folder string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var lines []string
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.FileExports(file)
		for _, d := range file.Decls {
			lines = append(lines, ofDecl(d)...)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

func ofDecl(d ast.Decl) (lines []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
			return nil
		}
		d.Body, d.Doc = nil, nil
		return []string{text(d)}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				s.Doc, s.Comment = nil, nil
				lines = append(lines, "type "+text(s))
			case *ast.ValueSpec:
				for _, name := range s.Names {
					line := d.Tok.String() + " " + name.Name
					if s.Type != nil {
						line += " " + text(s.Type)
					}
					lines = append(lines, line)
				}
			}
		}
	}
	return lines
}

// receiver gives the name of the type that a method belongs to.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// text gives a node on one line.
func text(node ast.Node) string {
	ast.Inspect(node, func(n ast.Node) bool { // fields keep their comments
		if f, ok := n.(*ast.Field); ok {
			f.Doc, f.Comment = nil, nil
		}
		return true
	})
	var b bytes.Buffer
	if err := (&printer.Config{Mode: printer.RawFormat}).Fprint(&b, token.NewFileSet(), node); err != nil {
		return err.Error()
	}
	var parts []string
	for line := range strings.Lines(b.String()) {
		// The printer says in comments where it left something out.
		if line, _, _ = strings.Cut(strings.TrimSpace(line), "//"); line != "" {
			parts = append(parts, strings.TrimSpace(line))
		}
	}
	return strings.Join(strings.Fields(strings.NewReplacer("{; ", "{ ", "; }", " }").Replace(strings.Join(parts, "; "))), " ")
}
