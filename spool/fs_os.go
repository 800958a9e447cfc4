package spool

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gormtrail/audit/internal/filelock"
)

// createFlags make a file, or empty it.
const createFlags = os.O_RDWR | os.O_CREATE | os.O_TRUNC

// osFS is the file system of the machine.
type osFS struct{}

type osFile struct{ *os.File }

func (osFS) Real(path string) (string, error) {
	real, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(real)
}

func (osFS) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (osFS) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

func (f osFS) Open(path string) (file, error) { return f.OpenFile(path, os.O_RDONLY) }

func (osFS) OpenFile(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

func (osFS) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

func (osFS) SameFile(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

func (osFS) Lock(f file) (bool, error) { return filelock.Try(f.(osFile).File) }

func (osFS) Unlock(f file) { filelock.Release(f.(osFile).File) }
