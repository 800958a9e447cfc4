// Command licenses lists the modules that are in the program auditlog and in the packages, with their licences.
//
//	go run ./internal/licenses -o docs/licenses.md
//
// A licence is told by the words that only it has; a module whose licence it does not know is an error.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("o", "", "file to write, instead of standard output")
	flag.Parse()
	document, err := list(context.Background(), ".")
	if err == nil && *out != "" {
		err = os.WriteFile(*out, document, 0o644) //nolint:gosec // a document for all
	} else if err == nil {
		_, err = os.Stdout.Write(document)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

// known are the licences, by words of which all must be in the text, white space aside; the first that fits counts.
var known = []struct {
	name  string
	words []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0, January 2004"}},
	{"MPL-2.0", []string{"Mozilla Public License", "2.0"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "Neither the name"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "names of its contributors may not be used"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms", "Redistributions in binary form"}},
	{"MIT", []string{"Permission is hereby granted, free of charge", "THE SOFTWARE IS PROVIDED"}},
	{"ISC", []string{"Permission to use, copy, modify, and", "with or without fee is hereby granted"}},
}

type module struct {
	Path, Version, Dir string
	Main               bool
}

// list gives the document for the module in a folder.
func list(ctx context.Context, folder string) ([]byte, error) {
	modules, err := modulesOf(ctx, folder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprint(&out, `# Licences

The modules whose code is in the program `+"`auditlog`"+` or in one of the packages, on Linux. Tests and tools need others.
Made by `+"`go run ./internal/licenses -o docs/licenses.md`"+`.

| module | licence |
|---|---|
`)
	var errs []error
	for _, m := range modules {
		name, err := licence(m.Dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s@%s: %w", m.Path, m.Version, err))
		}
		fmt.Fprintf(&out, "| %s | %s |\n", m.Path, name)
	}
	return out.Bytes(), errors.Join(errs...)
}

// modulesOf gives the modules that the packages of a folder are built from, without their own.
func modulesOf(ctx context.Context, folder string) ([]module, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Module", "./...")
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var modules []module
	for d := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module != nil && !p.Module.Main {
			modules = append(modules, *p.Module)
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return slices.Compact(modules), nil
}

// licence tells the licence of a module by its files.
func licence(folder string) (string, error) {
	var names []string
	for _, pattern := range []string{"LICEN[SC]E*", "License*", "license*", "COPYING*"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			if name := nameOf(string(text)); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("no file in %s has a licence that is known", filepath.Base(folder))
	}
	return strings.Join(names, ", "), nil
}

func nameOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range known {
		if !slices.ContainsFunc(l.words, func(w string) bool { return !strings.Contains(text, w) }) {
			return l.name
		}
	}
	return ""
}
