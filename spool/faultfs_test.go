package spool

import (
	"errors"
	"io/fs"
	"sync"
)

// faultFS is a file system that fails where a test says. Every call asks the hook first.
type faultFS struct {
	filesystem
	mu   sync.Mutex
	hook func(op, path string) error
}

// shortWriteError makes a write end after half of its bytes, with Err.
type shortWriteError struct{ Err error }

func (e *shortWriteError) Error() string { return "short write: " + e.Err.Error() }

func (e *shortWriteError) Unwrap() error { return e.Err }

// fail makes the hook the one that is asked from now on; nil fails nothing.
func (f *faultFS) fail(hook func(op, path string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *faultFS) ask(op, path string) error {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (f *faultFS) Mkdir(path string) error {
	if err := f.ask("mkdir", path); err != nil {
		return err
	}
	return f.filesystem.Mkdir(path)
}

func (f *faultFS) MkdirAll(path string) error {
	if err := f.ask("mkdir", path); err != nil {
		return err
	}
	return f.filesystem.MkdirAll(path)
}

func (f *faultFS) Open(path string) (file, error) {
	if err := f.ask("open", path); err != nil {
		return nil, err
	}
	opened, err := f.filesystem.Open(path)
	if err != nil {
		return nil, err
	}
	return faultFile{opened, f}, nil
}

func (f *faultFS) OpenFile(path string, flag int) (file, error) {
	if err := f.ask("create", path); err != nil {
		return nil, err
	}
	opened, err := f.filesystem.OpenFile(path, flag)
	if err != nil {
		return nil, err
	}
	return faultFile{opened, f}, nil
}

func (f *faultFS) Remove(path string) error {
	if err := f.ask("remove", path); err != nil {
		return err
	}
	return f.filesystem.Remove(path)
}

func (f *faultFS) ReadDir(path string) ([]fs.DirEntry, error) {
	if err := f.ask("readdir", path); err != nil {
		return nil, err
	}
	return f.filesystem.ReadDir(path)
}

func (f *faultFS) Stat(path string) (fs.FileInfo, error) {
	if err := f.ask("stat", path); err != nil {
		return nil, err
	}
	return f.filesystem.Stat(path)
}

func (f *faultFS) SyncDir(path string) error {
	if err := f.ask("syncdir", path); err != nil {
		return err
	}
	return f.filesystem.SyncDir(path)
}

func (f *faultFS) Space(path string) (space, error) {
	if err := f.ask("space", path); err != nil {
		return space{}, err
	}
	return f.filesystem.Space(path)
}

func (f *faultFS) Lock(l file) (bool, error) {
	if err := f.ask("lock", l.Name()); err != nil {
		return false, err
	}
	return f.filesystem.Lock(l.(faultFile).file)
}

func (f *faultFS) Unlock(l file) { f.filesystem.Unlock(l.(faultFile).file) }

type faultFile struct {
	file
	fs *faultFS
}

func (f faultFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fs.ask("read", f.Name()); err != nil {
		return 0, err
	}
	return f.file.ReadAt(b, off)
}

func (f faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.ask("write", f.Name()); err != nil {
		var short *shortWriteError
		if errors.As(err, &short) {
			n, _ := f.file.WriteAt(b[:len(b)/2], off)
			return n, err
		}
		return 0, err
	}
	return f.file.WriteAt(b, off)
}

func (f faultFile) Stat() (fs.FileInfo, error) {
	if err := f.fs.ask("fstat", f.Name()); err != nil {
		return nil, err
	}
	return f.file.Stat()
}

func (f faultFile) Truncate(size int64) error {
	if err := f.fs.ask("truncate", f.Name()); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

func (f faultFile) Sync() error {
	if err := f.fs.ask("sync", f.Name()); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f faultFile) Allocate(size int64) error {
	if err := f.fs.ask("allocate", f.Name()); err != nil {
		return err
	}
	return f.file.Allocate(size)
}

func (f faultFile) Links() (int, error) {
	if err := f.fs.ask("links", f.Name()); err != nil {
		return 0, err
	}
	return f.file.Links()
}

func (f faultFile) Close() error {
	err := f.fs.ask("close", f.Name())
	return errors.Join(err, f.file.Close())
}
