package spool

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
)

// filesystem is what a spool asks of the file system. Tests put others in its place: one that fails where
// they say, and one that forgets what was not synced. Folders are made with 0700, files with 0600.
type filesystem interface {
	// Real gives the absolute path without links.
	Real(path string) (string, error)
	Mkdir(path string) error
	MkdirAll(path string) error
	// Open opens for reading.
	Open(path string) (file, error)
	OpenFile(path string, flag int) (file, error)
	Remove(path string) error
	// ReadDir gives the entries sorted by name.
	ReadDir(path string) ([]fs.DirEntry, error)
	Stat(path string) (fs.FileInfo, error)
	SameFile(a, b fs.FileInfo) bool
	// SyncDir makes the names in the folder durable.
	SyncDir(path string) error
	// Space says what is left on the volume of the folder.
	Space(path string) (space, error)
	// Lock locks the file for this descriptor, and reports whether it could. The lock goes with the
	// process, however it ends.
	Lock(f file) (bool, error)
	Unlock(f file)
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	// Sync makes the content durable, without its times.
	Sync() error
	// Allocate takes size bytes of the disk for the file.
	Allocate(size int64) error
	// Links is how many names the file has: none, if it was removed.
	Links() (int, error)
}

// space is what is left on a volume.
type space struct {
	bytes    int64
	inodes   int64 // -1: the file system does not count them
	readOnly bool
	known    bool // it was asked for
}

// readFile gives the content of a file.
func readFile(fsys filesystem, path string) (data []byte, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data = make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}

// isDir reports whether there is a folder of that name.
func isDir(fsys filesystem, path string) bool {
	info, err := fsys.Stat(path)
	return err == nil && info.IsDir()
}

// missing reports whether there is certainly nothing of that name.
func missing(fsys filesystem, path string) bool {
	_, err := fsys.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// writeFile writes and syncs a file and its name.
func writeFile(fsys filesystem, path string, data []byte) error {
	f, err := fsys.OpenFile(path, createFlags)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}
