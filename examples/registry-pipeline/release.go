package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The file of a release of pycountry that lists the subdivisions, and the most that is read of it.
const (
	registryFile    = "pycountry/databases/iso3166-2.json"
	maxRegistrySize = 16 << 20
)

var errNoRegistry = errors.New("registry: no file " + registryFile + " in the release")

// Subdivision is a row of ISO 3166-2: a state, province, parish or the like.
type Subdivision struct {
	Code   string  `gorm:"primaryKey;size:16" json:"code"`
	Name   string  `gorm:"not null" json:"name"`
	Type   string  `gorm:"not null" json:"type"`
	Parent *string `json:"parent"`
}

// country is the country that the code begins with.
func (s Subdivision) country() string {
	country, _, _ := strings.Cut(s.Code, "-")
	return country
}

// download gets the release of pycountry with that version through pip, into folder, and gives its
// subdivisions. The environment variable PIP says which program pip is.
func download(ctx context.Context, version, folder string) ([]Subdivision, error) {
	command := pip()
	command = append(command, "download", "--no-deps", "--quiet", "--disable-pip-version-check",
		"--dest", folder, "pycountry=="+version)
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the user's own pip
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("registry: %s: %w\n%s", strings.Join(command, " "), err, said.String())
	}
	var files []string
	for _, pattern := range []string{"*.whl", "*.tar.gz"} {
		found, err := filepath.Glob(filepath.Join(folder, "pycountry-"+version+pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("registry: %d files of pycountry %s in %s, want 1", len(files), version, folder)
	}
	return readRelease(files[0])
}

// pip gives the command that runs pip.
func pip() []string {
	if p := os.Getenv("PIP"); p != "" {
		return []string{p}
	}
	for _, p := range []string{"pip3", "pip"} {
		if _, err := exec.LookPath(p); err == nil {
			return []string{p}
		}
	}
	return []string{"python3", "-m", "pip"}
}

// readRelease gives the subdivisions in a wheel or a source distribution.
func readRelease(file string) ([]Subdivision, error) {
	open := readSource
	if strings.HasSuffix(file, ".whl") {
		open = readWheel
	}
	data, err := open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return parseRegistry(data)
}

// readWheel reads the registry out of a wheel, which is a zip file.
func readWheel(file string) ([]byte, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer z.Close() //nolint:errcheck // it was only read
	f, err := z.Open(registryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoRegistry
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return readAll(f)
}

// readSource reads the registry out of a source distribution, a compressed tar file with all in one
// folder.
func readSource(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(unzipped); ; {
		header, err := t.Next()
		if err == io.EOF {
			return nil, errNoRegistry
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(header.Name, "/"+registryFile) {
			return readAll(t)
		}
	}
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRegistrySize+1))
	if err == nil && len(data) > maxRegistrySize {
		err = fmt.Errorf("registry: %s is larger than %d bytes", registryFile, maxRegistrySize)
	}
	return data, err
}

// parseRegistry gives the subdivisions; each code is there once.
func parseRegistry(data []byte) ([]Subdivision, error) {
	var file struct {
		Subdivisions []Subdivision `json:"3166-2"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("registry: %s: %w", registryFile, err)
	}
	seen := make(map[string]bool, len(file.Subdivisions))
	for i, s := range file.Subdivisions {
		switch {
		case s.Code == "" || s.Name == "" || s.Type == "":
			return nil, fmt.Errorf("registry: entry %d has no code, name or type: %+v", i, s)
		case seen[s.Code]:
			return nil, fmt.Errorf("registry: code %q is there twice", s.Code)
		}
		seen[s.Code] = true
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("registry: %s lists no subdivisions", registryFile)
	}
	return file.Subdivisions, nil
}
