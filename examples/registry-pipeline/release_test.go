package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const registry = `{"3166-2": [
	{"code": "AD-02", "name": "Canillo", "type": "Parish"},
	{"code": "AZ-BAB", "name": "Babək", "type": "Rayon", "parent": "NX"}
]}`

func ptr(s string) *string { return &s }

func TestReadRelease(t *testing.T) {
	t.Parallel()
	want := []Subdivision{
		{Code: "AD-02", Name: "Canillo", Type: "Parish"},
		{Code: "AZ-BAB", Name: "Babək", Type: "Rayon", Parent: ptr("NX")},
	}
	for _, c := range []struct {
		name, file string
		make       func(t *testing.T, name, content string) []byte
		member     string
		err        error
	}{
		{"wheel", "p.whl", zipped, registryFile, nil},
		{"source", "p.tar.gz", tarred, "pycountry-1.0/src/" + registryFile, nil},
		{"wheel without it", "p.whl", zipped, "pycountry/other.json", errNoRegistry},
		{"source without it", "p.tar.gz", tarred, "pycountry-1.0/other.json", errNoRegistry},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(file, c.make(t, c.member, registry), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readRelease(file)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if c.err != nil {
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRegistry_bad(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, data string }{
		{"no JSON", "<html>"},
		{"nothing listed", `{"3166-2": []}`},
		{"no name", `{"3166-2": [{"code": "AD-02", "type": "Parish"}]}`},
		{"twice", `{"3166-2": [{"code": "A", "name": "a", "type": "t"}, {"code": "A", "name": "b", "type": "t"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseRegistry([]byte(c.data)); err == nil {
				t.Errorf("no error, but %v", got)
			}
		})
	}
}

func FuzzParseRegistry(f *testing.F) {
	f.Add([]byte(registry))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseRegistry(data)
		if err == nil && len(byCode(all)) != len(all) {
			t.Errorf("a code is there twice in %v", all)
		}
	})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	before := []Subdivision{
		{Code: "A-1", Name: "same", Type: "t"},
		{Code: "A-2", Name: "old", Type: "t"},
		{Code: "A-3", Name: "gone", Type: "t", Parent: ptr("A-1")},
		{Code: "A-4", Name: "n", Type: "t", Parent: ptr("A-1")},
	}
	after := []Subdivision{
		{Code: "A-5", Name: "new", Type: "t"},
		{Code: "A-4", Name: "n", Type: "t"},
		{Code: "A-2", Name: "new", Type: "t", Parent: ptr("A-1")},
		{Code: "A-1", Name: "same", Type: "t"},
	}
	want := []difference{
		{"A-2", changed, []fieldChange{{"name", ptr("old"), ptr("new")}, {"parent", nil, ptr("A-1")}}},
		{"A-3", removed, []fieldChange{{"name", ptr("gone"), nil}, {"type", ptr("t"), nil}, {"parent", ptr("A-1"), nil}}},
		{"A-4", changed, []fieldChange{{"parent", ptr("A-1"), nil}}},
		{"A-5", added, []fieldChange{{"name", nil, ptr("new")}, {"type", nil, ptr("t")}}},
	}
	if diff := cmp.Diff(want, compare(before, after)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func zipped(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err := errors.Join(err, w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
