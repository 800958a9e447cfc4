package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"
)

// Entry is a record as it lies in a folder.
type Entry struct {
	// Producer and Seq are who wrote it, and its place.
	Producer string
	Seq      uint64
	// Time is when it was written.
	Time time.Time
	// ID is its log_id, Payload its encoding, one line of JSON. Payload may be kept.
	ID      string
	Payload []byte
}

// Reader reads the records of one folder, also while a process uses it: it takes no lock, and changes and
// removes nothing. It is not for concurrent use.
type Reader struct {
	fs       filesystem
	dir      string
	producer string
	after    uint64 // the sequence given last
	segment  segment
	file     file
	offset   int64
	chunk    []byte // read ahead, from offset on
	upTo     uint64 // the last sequence that counts in the segment, as far as it was known then; 0: all
	damaged  int64
}

// Folders gives the folders of processes below dir, or dir itself if it is one, as paths.
func Folders(dir string) ([]string, error) { return foldersIn(osFS{}, dir) }

func foldersIn(fsys filesystem, dir string) ([]string, error) {
	if _, ok := parseID(filepath.Base(filepath.Clean(dir))); ok && !missing(fsys, filepath.Join(dir, lockName)) {
		return []string{dir}, nil
	}
	return children(fsys, dir)
}

// OpenReader opens a folder for reading its records from the first one that is still kept on.
func OpenReader(dir string) (*Reader, error) { return openReader(osFS{}, dir) }

func openReader(fsys filesystem, dir string) (*Reader, error) {
	data, err := readFile(fsys, filepath.Join(dir, identityName))
	if err != nil {
		return nil, fmt.Errorf("spool: %s is no folder of a spool: %w", dir, err)
	}
	var known identity
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, fmt.Errorf("spool: %s: %w", filepath.Join(dir, identityName), err)
	}
	if known.Format > version {
		return nil, fmt.Errorf("%w: %s has format %d, want at most %d", ErrFormat, dir, known.Format, version)
	}
	return &Reader{fs: fsys, dir: dir, producer: known.Producer}, nil
}

// Producer gives the name of the folder's producer.
func (r *Reader) Producer() string { return r.producer }

// Damaged is how many bytes were passed over because they are no records.
func (r *Reader) Damaged() int64 { return r.damaged }

// Close closes the file that is being read.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file, r.chunk = nil, nil
	return err
}

// Seek makes Next go on behind the sequence after.
func (r *Reader) Seek(after uint64) error {
	r.after = after
	return r.Close()
}

// Next gives the next record. io.EOF says that there is none now; when more was written, the next call
// gives it. What was not yet synced may be among them.
func (r *Reader) Next() (Entry, error) {
	for {
		if r.file == nil {
			if err := r.open(); err != nil {
				return Entry{}, err
			}
		}
		f, size, err := parseFrame(r.chunk)
		if err == nil {
			r.pass(int64(size))
			if f.seq <= r.after || r.upTo > 0 && f.seq > r.upTo { // of a batch that was written again
				continue
			}
			r.after = f.seq
			payload := append([]byte(nil), f.payload...)
			return Entry{Producer: r.producer, Seq: f.seq, Time: time.Unix(0, f.time).UTC(), ID: f.id, Payload: payload}, nil
		}
		more, err := r.more(max(size, readBytes))
		if err != nil {
			return Entry{}, err
		}
		if more {
			continue
		}
		if err := r.skip(); err != nil {
			return Entry{}, err
		}
	}
}

// open opens the segment that has the record behind after.
func (r *Reader) open() error {
	for {
		segments, _, err := listSegments(r.fs, r.dir)
		if errors.Is(err, fs.ErrNotExist) && isDir(r.fs, r.dir) {
			continue // one was removed while they were listed
		}
		if err != nil {
			return err
		}
		var g segment
		for _, s := range segments {
			if g.path == "" || s.first <= r.after+1 {
				g = s
			}
		}
		if g.path == "" {
			return io.EOF
		}
		f, err := r.fs.Open(g.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		r.segment, r.file, r.offset, r.chunk = g, f, headerSize, nil
		return nil
	}
}

// next gives the segment behind the one that is being read, a zero one if there is none.
func (r *Reader) next() (segment, error) {
	entries, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return segment{}, fmt.Errorf("spool: %w", err)
	}
	for _, entry := range entries { // sorted
		first, ok := segmentFirst(entry.Name())
		if !ok || first <= r.segment.first {
			continue
		}
		path := filepath.Join(r.dir, entry.Name())
		if info, err := r.fs.Stat(path); err == nil && info.Size() >= headerSize { // else it is just being made
			return segment{path: path, first: first}, nil
		}
	}
	return segment{}, nil
}

func (r *Reader) pass(n int64) {
	r.offset += n
	r.chunk = r.chunk[n:]
}

// more reads ahead, and reports whether there is more than before.
func (r *Reader) more(size int) (bool, error) {
	info, err := r.file.Stat()
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	if rest := info.Size() - r.offset; rest <= int64(len(r.chunk)) {
		return false, nil
	} else if int64(size) > rest {
		size = int(rest)
	}
	b := make([]byte, size)
	n, err := r.file.ReadAt(b, r.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("spool: %w", err)
	}
	next, err := r.next()
	if err != nil {
		return false, err
	}
	if r.upTo = 0; next.first > 0 {
		r.upTo = next.first - 1
	}
	grown := n > len(r.chunk)
	r.chunk = b[:n]
	return grown, nil
}

// skip goes on behind what is no record: at the next one, or in the next segment. At the end of the last one
// it may be a record that is just being written: io.EOF.
func (r *Reader) skip() error {
	rest := len(r.chunk)
	if rest > 0 {
		if at := findFrame(r.chunk[1:], r.after, r.after+farAhead); at >= 0 {
			r.damaged += int64(1 + at)
			r.pass(int64(1 + at))
			return nil
		}
	}
	next, err := r.next()
	if err != nil {
		return err
	}
	if next.path == "" {
		return io.EOF
	}
	r.damaged += int64(rest)
	r.after = max(r.after, next.first-1)
	return r.Close()
}
