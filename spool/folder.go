package spool

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
)

const (
	lockName       = "lock"
	identityName   = "identity"
	quarantineName = "quarantine"
	drainedName    = "drained"
)

// folder is a locked folder below the parent.
type folder struct {
	fs       filesystem
	dir      string
	info     fs.FileInfo // of dir
	lock     file
	id       [16]byte
	producer string
	fresh    bool // made just now: nothing was ever sent from it
}

// identity is the content of the file of that name.
type identity struct {
	Format   int    `json:"format"`
	Producer string `json:"producer"`
}

// producerName is the form of a producer name. It goes into records without quoting.
var producerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}/[0-9a-f-]{36}$`)

// release gives the folder back.
func (f *folder) release() {
	f.fs.Unlock(f.lock)
	_ = f.lock.Close()
}

// open has the parents that this process writes to. flock tells processes apart, not two spools of
// one process.
var open = struct {
	sync.Mutex
	parents map[string]bool
}{parents: make(map[string]bool)}

// reserve takes the parent for this process, and gives its real path.
func reserve(fsys filesystem, dir string) (string, error) {
	real, err := fsys.Real(dir)
	if err != nil {
		return "", fmt.Errorf("spool: %w", err)
	}
	open.Lock()
	defer open.Unlock()
	if open.parents[real] {
		return "", fmt.Errorf("%w: %s was opened twice by this process", ErrInUse, dir)
	}
	open.parents[real] = true
	return real, nil
}

func unreserve(real string) {
	open.Lock()
	defer open.Unlock()
	delete(open.parents, real)
}

// children gives the folders of processes below the parent, in order.
func children(fsys filesystem, parent string) ([]string, error) {
	entries, err := fsys.ReadDir(parent)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		if _, ok := parseID(entry.Name()); ok && entry.IsDir() {
			dirs = append(dirs, filepath.Join(parent, entry.Name()))
		}
	}
	return dirs, nil
}

// claim locks the folder; nil if another process or spool has it.
func claim(fsys filesystem, dir, service string) (*folder, error) {
	lock, err := fsys.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	ok, err := fsys.Lock(lock)
	if err != nil || !ok {
		_ = lock.Close()
		if err != nil {
			err = fmt.Errorf("spool: lock %s: %w", lock.Name(), err)
		}
		return nil, err
	}
	f := &folder{fs: fsys, dir: dir, lock: lock}
	f.id, _ = parseID(filepath.Base(dir))
	f.info, err = fsys.Stat(dir)
	if err == nil {
		err = f.identify(service)
	}
	if err != nil {
		f.release()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

// identify reads the identity, or writes it if there is none.
func (f *folder) identify(service string) error {
	path := filepath.Join(f.dir, identityName)
	data, err := readFile(f.fs, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var known identity
	if err == nil && json.Unmarshal(data, &known) == nil && producerName.MatchString(known.Producer) {
		if known.Format > version {
			return fmt.Errorf("%w: %s has format %d, want at most %d", ErrFormat, path, known.Format, version)
		}
		f.producer = known.Producer
		return nil
	}
	f.producer = service + "/" + filepath.Base(f.dir)
	return f.writeIdentity()
}

func (f *folder) writeIdentity() error {
	data, err := json.Marshal(identity{Format: version, Producer: f.producer})
	if err != nil {
		return err
	}
	return writeFile(f.fs, filepath.Join(f.dir, identityName), data)
}

// create makes a new folder and locks it.
func create(fsys filesystem, parent, service string, now time.Time) (*folder, error) {
	dir := filepath.Join(parent, event.NewID(now))
	if err := fsys.Mkdir(dir); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := fsys.SyncDir(parent); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	f, err := claim(fsys, dir, service)
	if err == nil && f == nil {
		err = fmt.Errorf("%w: %s was taken while it was made", ErrInUse, dir)
	}
	if err != nil {
		return nil, err
	}
	f.fresh = true
	return f, nil
}

// discard removes a folder that holds nothing, and releases it. With something put aside it stays.
func (f *folder) discard(logger *slog.Logger) {
	defer f.release()
	var err error
	for _, name := range []string{markName, lossesName, drainedName, ballastName, identityName, lockName} {
		if e := f.fs.Remove(filepath.Join(f.dir, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	err = errors.Join(err, f.fs.Remove(f.dir))
	logger.Warn("spool: a folder without segments has lost its position, and is not used again", slog.String("folder", f.dir), slog.Any("error", err))
}

// drained gives what the file of that name holds when nothing in the folder waits for the stream: name
// and size of the last segment, as new records are written to a new one.
func drained(segments []segment) []byte {
	if len(segments) == 0 {
		return []byte("none\n")
	}
	last := segments[len(segments)-1]
	return fmt.Appendf(nil, "%s %d\n", filepath.Base(last.path), last.size)
}

// idle reports whether nothing in the folder waits for the stream, and nothing is left to be removed,
// without reading segments: everybody looks at every left folder again and again.
func idle(fsys filesystem, dir string) bool {
	segments, damaged, err := listSegments(fsys, dir)
	if err != nil || len(damaged) > 0 || len(segments) > 1 {
		return false
	}
	known, err := readFile(fsys, filepath.Join(dir, drainedName))
	return err == nil && string(known) == string(drained(segments))
}

// parseID reads a UUID in its usual form.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	n, err := hex.Decode(id[:], []byte(strings.ReplaceAll(s, "-", "")))
	return id, err == nil && n == len(id)
}
