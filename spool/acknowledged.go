package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// mark is the file that says up to where the stream has confirmed: the sequence as uint64 and its
// CRC-32C, overwritten in place, so that it needs no room on a full disk. It is not synced: an old mark
// only makes the relay send again what the stream then drops.
type mark struct {
	file  *os.File
	saved uint64
}

// openMark opens the file and gives the sequence in it, 0 if there is none that can be read.
func openMark(dir string) (*mark, uint64, error) {
	f, err := os.OpenFile(filepath.Join(dir, "acknowledged"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("spool: %w", err)
	}
	var b [12]byte
	var seq uint64
	if n, _ := f.ReadAt(b[:], 0); n == len(b) && binary.BigEndian.Uint32(b[8:]) == crc32.Checksum(b[:8], castagnoli) {
		seq = binary.BigEndian.Uint64(b[:])
	}
	m := &mark{file: f}
	// Also finds out at once whether the folder can be written.
	if err := m.save(seq); err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("spool: %w", err)
	}
	return m, seq, nil
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
