package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// mark is the file that says up to where the stream has confirmed: the sequence as uint64 and its
// CRC-32C, overwritten in place, so that it needs no room on a full disk. It is synced only before
// segments are removed: an old mark makes the relay send again what the stream then drops, but with no
// segment left it alone knows which sequences were used.
type mark struct {
	file   file
	saved  uint64
	synced uint64
}

const markName = "acknowledged"

// openMark opens the file and gives the sequence in it. valid is false if there is none that can be read.
func openMark(fsys filesystem, dir string) (m *mark, seq uint64, valid bool, err error) {
	f, err := fsys.OpenFile(filepath.Join(dir, markName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, 0, false, fmt.Errorf("spool: %w", err)
	}
	var b [12]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, false, fmt.Errorf("spool: %w", errors.Join(err, f.Close()))
	}
	seq, valid = parseMark(b[:n])
	return &mark{file: f}, seq, valid, nil
}

func (m *mark) save(seq uint64) error {
	b := binary.BigEndian.AppendUint64(nil, seq)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := m.file.WriteAt(b, 0); err != nil {
		return err
	}
	m.saved = seq
	return nil
}

// sync makes the saved mark durable.
func (m *mark) sync() error {
	if m.synced == m.saved && m.saved > 0 {
		return nil
	}
	if err := m.file.Sync(); err != nil {
		return err
	}
	m.synced = m.saved
	return nil
}

// parseMark reads the content of the file.
func parseMark(b []byte) (seq uint64, ok bool) {
	if len(b) != 12 || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}
