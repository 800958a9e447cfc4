package spool

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// memFS is a file system in memory that knows what is durable: the content of a file up to its last sync,
// the names in a folder up to its last sync. crash gives what a power loss may leave of the rest: any part
// of the writes, in sectors, and any part of the changes of names.
type memFS struct {
	mu       sync.Mutex
	name     string // of the root: unique, as parents are known to the process by their paths
	root     *inode
	capacity int64 // bytes of all files together; 0: no limit
}

type inode struct {
	dir     bool
	names   map[string]*inode // of a folder
	durable map[string]*inode
	ops     []nameOp // since the folder was synced
	data    []byte   // of a file
	synced  []byte
	writes  []memWrite // since it was synced
	links   int
	locked  bool
}

// nameOp is a change of a folder: a name gets an inode, or none.
type nameOp struct {
	name string
	to   *inode
}

// memWrite is a write, or with a nil data a truncation to the size off.
type memWrite struct {
	off  int64
	data []byte
}

var memCount atomic.Int64

func newMemFS() *memFS {
	return &memFS{name: fmt.Sprintf("/mem-%d", memCount.Add(1)), root: newFolder()}
}

func newFolder() *inode {
	return &inode{dir: true, names: map[string]*inode{}, durable: map[string]*inode{}, links: 1}
}

const sector = 512

// apply applies the write to b.
func (w memWrite) apply(b []byte) []byte {
	if w.data == nil {
		if w.off <= int64(len(b)) {
			return b[:w.off]
		}
		return append(b, make([]byte, w.off-int64(len(b)))...)
	}
	if end := w.off + int64(len(w.data)); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.off:], w.data)
	return b
}

// crash gives the file system after a power loss. With ordered, a prefix of what was not synced survives,
// as with a journal; else any part of it.
func (m *memFS) crash(r *rand.Rand, ordered bool) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	made := make(map[*inode]*inode)
	var survive func(n *inode) *inode
	survive = func(n *inode) *inode {
		if after, ok := made[n]; ok {
			return after
		}
		after := &inode{dir: n.dir}
		made[n] = after
		if !n.dir {
			after.data = crashData(n, r, ordered)
			after.synced = slices.Clone(after.data)
			return after
		}
		names := maps.Clone(n.durable)
		keep := r.IntN(len(n.ops) + 1)
		for i, op := range n.ops {
			if ordered && i >= keep || !ordered && r.IntN(2) == 0 {
				continue
			}
			if op.to == nil {
				delete(names, op.name)
			} else {
				names[op.name] = op.to
			}
		}
		after.names = make(map[string]*inode)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			child := survive(names[name])
			child.links++
			after.names[name] = child
		}
		after.durable = maps.Clone(after.names)
		return after
	}
	root := survive(m.root)
	root.links = 1
	return &memFS{name: m.name, root: root, capacity: m.capacity}
}

func crashData(n *inode, r *rand.Rand, ordered bool) []byte {
	data := slices.Clone(n.synced)
	keep := r.IntN(len(n.writes) + 1)
	for i, w := range n.writes {
		if ordered && i > keep || !ordered && r.IntN(3) == 0 {
			continue
		}
		whole := ordered && i < keep || !ordered && r.IntN(2) == 0
		if w.data == nil || whole {
			data = w.apply(data)
			continue
		}
		for at := 0; at < len(w.data); {
			end := min(len(w.data), at+sector-int((w.off+int64(at))%sector))
			if r.IntN(2) == 0 {
				data = memWrite{w.off + int64(at), w.data[at:end]}.apply(data)
			}
			at = end
		}
	}
	return data
}

// find gives the folder of the path and the last element. It fails if the folder does not exist.
func (m *memFS) find(p string) (dir *inode, name string, err error) {
	rest, ok := strings.CutPrefix(path.Clean(p), m.name)
	if !ok {
		return nil, "", &fs.PathError{Op: "find", Path: p, Err: syscall.ENOENT}
	}
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	dir = m.root
	for _, part := range parts[:len(parts)-1] {
		next := dir.names[part]
		if next == nil || !next.dir {
			return nil, "", &fs.PathError{Op: "find", Path: p, Err: syscall.ENOENT}
		}
		dir = next
	}
	return dir, parts[len(parts)-1], nil
}

func (m *memFS) node(p string) (*inode, error) {
	dir, name, err := m.find(p)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return m.root, nil
	}
	n := dir.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "find", Path: p, Err: syscall.ENOENT}
	}
	return n, nil
}

func (d *inode) set(name string, n *inode) {
	if old := d.names[name]; old != nil {
		old.links--
	}
	if n == nil {
		delete(d.names, name)
	} else {
		n.links++
		d.names[name] = n
	}
	d.ops = append(d.ops, nameOp{name, n})
}

func (m *memFS) used(n *inode) int64 {
	total := int64(len(n.data))
	for _, child := range n.names {
		total += m.used(child)
	}
	return total
}

func (m *memFS) Real(p string) (string, error) { return path.Clean(p), nil }

func (m *memFS) Mkdir(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.find(p)
	if err != nil {
		return err
	}
	if dir.names[name] != nil || name == "" {
		return &fs.PathError{Op: "mkdir", Path: p, Err: syscall.EEXIST}
	}
	dir.set(name, newFolderWithoutName())
	return nil
}

func newFolderWithoutName() *inode {
	n := newFolder()
	n.links = 0
	return n
}

func (m *memFS) MkdirAll(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := strings.Trim(strings.TrimPrefix(path.Clean(p), m.name), "/")
	dir := m.root
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" {
			continue
		}
		if dir.names[part] == nil {
			dir.set(part, newFolderWithoutName())
		}
		dir = dir.names[part]
	}
	return nil
}

func (m *memFS) Open(p string) (file, error) { return m.OpenFile(p, os.O_RDONLY) }

func (m *memFS) OpenFile(p string, flag int) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.find(p)
	if err != nil {
		return nil, err
	}
	n := dir.names[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
	case n == nil:
		n = &inode{}
		dir.set(name, n)
	case flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.EEXIST}
	case flag&os.O_TRUNC != 0:
		n.write(memWrite{off: 0})
	}
	return &memFile{m, n, p}, nil
}

func (d *inode) write(w memWrite) {
	d.data = w.apply(d.data)
	d.writes = append(d.writes, w)
}

func (m *memFS) Remove(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.find(p)
	if err != nil {
		return err
	}
	n := dir.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: p, Err: syscall.ENOENT}
	}
	if len(n.names) > 0 {
		return &fs.PathError{Op: "remove", Path: p, Err: syscall.ENOTEMPTY}
	}
	dir.set(name, nil)
	return nil
}

// removeAll is rm -rf.
func (m *memFS) removeAll(t testing.TB, p string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name, err := m.find(p)
	if err != nil {
		t.Fatal(err)
	}
	var clear func(n *inode)
	clear = func(n *inode) {
		for child := range maps.Clone(n.names) {
			clear(n.names[child])
			n.set(child, nil)
		}
	}
	clear(dir.names[name])
	dir.set(name, nil)
}

func (m *memFS) ReadDir(p string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.node(p)
	if err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		entries = append(entries, fs.FileInfoToDirEntry(memInfo{name, n.names[name], int64(len(n.names[name].data))}))
	}
	return entries, nil
}

func (m *memFS) Stat(p string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.node(p)
	if err != nil {
		return nil, err
	}
	return memInfo{path.Base(p), n, int64(len(n.data))}, nil
}

func (m *memFS) SameFile(a, b fs.FileInfo) bool { return a.Sys() == b.Sys() }

func (m *memFS) SyncDir(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.node(p)
	if err != nil {
		return err
	}
	n.durable, n.ops = maps.Clone(n.names), nil
	return nil
}

func (m *memFS) Space(string) (space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return space{bytes: 1 << 40, inodes: -1}, nil
	}
	return space{bytes: max(0, m.capacity-m.used(m.root)), inodes: -1}, nil
}

func (m *memFS) Lock(f file) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := f.(*memFile).inode
	if n.locked {
		return false, nil
	}
	n.locked = true
	return true, nil
}

func (m *memFS) Unlock(f file) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.(*memFile).inode.locked = false
}

// memFile is an open file of a memFS.
type memFile struct {
	fs    *memFS
	inode *inode
	path  string
}

func (f *memFile) Name() string { return f.path }

func (f *memFile) Close() error { return nil }

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.inode.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := len(b)
	if grow := off + int64(n) - int64(len(f.inode.data)); f.fs.capacity > 0 && grow > 0 {
		free := max(0, f.fs.capacity-f.fs.used(f.fs.root))
		n -= int(max(0, min(int64(n), grow-free)))
	}
	if n > 0 {
		f.inode.write(memWrite{off, slices.Clone(b[:n])})
	}
	if n < len(b) {
		return n, &fs.PathError{Op: "write", Path: f.path, Err: syscall.ENOSPC}
	}
	return n, nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return memInfo{path.Base(f.path), f.inode, int64(len(f.inode.data))}, nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.inode.write(memWrite{off: size})
	return nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for _, w := range f.inode.writes {
		f.inode.synced = w.apply(f.inode.synced)
	}
	f.inode.writes = nil
	return nil
}

func (f *memFile) Allocate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.capacity > 0 && size-int64(len(f.inode.data)) > f.fs.capacity-f.fs.used(f.fs.root) {
		return &fs.PathError{Op: "allocate", Path: f.path, Err: syscall.ENOSPC}
	}
	f.inode.write(memWrite{off: max(size, int64(len(f.inode.data)))})
	return nil
}

func (f *memFile) Links() (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.inode.links, nil
}

// memInfo is the fs.FileInfo of an inode.
type memInfo struct {
	name  string
	inode *inode
	size  int64
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (i memInfo) IsDir() bool        { return i.inode.dir }
func (i memInfo) Sys() any           { return i.inode }

func (i memInfo) Mode() fs.FileMode {
	if i.inode.dir {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
