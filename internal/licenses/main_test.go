package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLicenses_areListed: a new module is seen in the list, and none comes in with a licence that nobody has looked at.
func TestLicenses_areListed(t *testing.T) {
	t.Parallel()
	got, err := list(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/licenses.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("run: go run ./internal/licenses -o docs/licenses.md\n%s", diff)
	}
}

func TestNameOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"MIT License\n\nPermission is hereby granted,\nfree of charge, to any person … THE SOFTWARE IS PROVIDED \"AS IS\"": "MIT",
		"Apache License\n   Version 2.0, January 2004": "Apache-2.0",
		"Redistribution and use in source and binary forms … Redistributions in binary form … Neither the name of Google": "BSD-3-Clause",
		"Redistribution and use in source and binary forms … Redistributions in binary form must":                         "BSD-2-Clause",
		"Mozilla Public License Version 2.0":              "MPL-2.0",
		"GNU GENERAL PUBLIC LICENSE Version 3":            "",
		"All rights reserved. You may do with it nothing": "",
	} {
		if got := nameOf(text); got != want {
			t.Errorf("%.40q: got %q, want %q", text, got, want)
		}
	}
}
