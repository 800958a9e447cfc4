package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The header of a segment, in big-endian order: magic, version uint16, reserved uint16, CRC-32C uint32
// of everything but itself, created int64 in Unix nanoseconds, first sequence uint64, producer's UUID.
const (
	magic         = "AUDITSPL"
	version       = 1
	headerSize    = 8 + 2 + 2 + 4 + 8 + 8 + 16
	segmentSuffix = ".seg"
)

// segment is one file of frames. Its frames have the sequences from first up to, but not including,
// the first of the next segment: a frame beyond is of a batch whose sync has failed, and which was
// written again.
type segment struct {
	path    string
	first   uint64
	created int64 // Unix nanoseconds
	size    int64 // up to where it is synced
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// segmentFirst reads the name of a segment.
func segmentFirst(name string) (first uint64, ok bool) {
	number, isSegment := strings.CutSuffix(name, segmentSuffix)
	first, err := strconv.ParseUint(number, 10, 64)
	return first, isSegment && err == nil && first > 0
}

func encodeHeader(created int64, first uint64, id [16]byte) []byte {
	dst := append(make([]byte, 0, headerSize), magic...)
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(created))
	dst = binary.BigEndian.AppendUint64(dst, first)
	dst = append(dst, id[:]...)
	binary.BigEndian.PutUint32(dst[12:], headerChecksum(dst))
	return dst
}

func headerChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:headerSize])
}

// parseHeader gives errShort or errDamaged if b does not begin with a header, and ErrFormat if it
// begins with that of a newer version.
func parseHeader(b []byte) (created int64, first uint64, err error) {
	if len(b) < headerSize {
		return 0, 0, errShort
	}
	if string(b[:8]) != magic {
		return 0, 0, errDamaged
	}
	if v := binary.BigEndian.Uint16(b[8:]); v > version {
		return 0, 0, fmt.Errorf("%w: version %d, want at most %d", ErrFormat, v, version)
	}
	if binary.BigEndian.Uint32(b[12:]) != headerChecksum(b) {
		return 0, 0, errDamaged
	}
	return int64(binary.BigEndian.Uint64(b[16:])), binary.BigEndian.Uint64(b[24:]), nil
}

// listSegments gives the segments of the folder in order. damaged are the paths of files that have no
// header: of a crash while one was made, or damage.
func listSegments(fsys filesystem, dir string) (segments []segment, damaged []string, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("spool: %w", err)
	}
	for _, entry := range entries {
		first, ok := segmentFirst(entry.Name())
		if !ok {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		s, err := readSegment(fsys, path)
		switch {
		case errors.Is(err, errShort):
			damaged = append(damaged, path)
			continue
		case errors.Is(err, errDamaged):
			// The frames have checksums of their own, and the name has the first sequence.
		case err != nil:
			return nil, nil, err
		}
		s.first = first
		segments = append(segments, s)
	}
	slices.SortFunc(segments, func(a, b segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return segments, damaged, nil
}

func readSegment(fsys filesystem, path string) (segment, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return segment{}, fmt.Errorf("spool: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return segment{}, fmt.Errorf("spool: %w", err)
	}
	s := segment{path: path, size: info.Size(), created: info.ModTime().UnixNano()}
	var head [headerSize]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) { // a disk that cannot read is no reason to take the file for empty
		return segment{}, fmt.Errorf("spool: %w", err)
	}
	created, _, err := parseHeader(head[:n])
	if err != nil {
		if errors.Is(err, ErrFormat) {
			err = fmt.Errorf("%w: %s", err, path)
		}
		return s, err
	}
	s.created = created
	return s, nil
}
