package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
)

// farAhead is how far behind damage a sequence may be and still be believed.
const farAhead = 1 << 20

// recovered is what is found in a folder.
type recovered struct {
	segments []segment
	last     uint64 // the highest sequence
	lastTime int64  // when it was written
	cut      int64  // bytes of a torn end
}

// recoverFolder reads what is there, cuts off an end that was not completely written, and puts aside
// what it cuts. Damage stays until it is read, also at the end: if it were cut and the process died, the
// next one would use its sequence again.
func recoverFolder(fsys filesystem, dir string, logger *slog.Logger) (recovered, error) {
	segments, headless, err := listSegments(fsys, dir)
	if err != nil {
		return recovered{}, err
	}
	for _, path := range headless { // of a crash while it was made: nothing was written to it
		if err := fsys.Remove(path); err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
	}
	r := recovered{segments: segments}
	for len(r.segments) > 0 {
		s := &r.segments[len(r.segments)-1]
		data, err := readFile(fsys, s.path)
		if err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
		end := scanEnd(data, s.first)
		if end.lost > 0 {
			s.size = end.size
			r.last, r.lastTime = end.last+end.lost, end.lastTime
			return r, nil
		}
		if end.cut() > 0 {
			logger.Warn("spool: cut off the end of a segment that was not completely written",
				slog.String("file", s.path), slog.Int64("bytes", end.cut()))
			if err := cutTail(fsys, dir, s.path, data, end.good); err != nil {
				return recovered{}, err
			}
			r.cut += end.cut()
		}
		if end.last >= s.first {
			s.size = end.good
			r.last, r.lastTime = end.last, end.lastTime
			return r, nil
		}
		// No frame in it. A new segment of this name will be made; alone, it tells which sequences were used.
		r.last = max(r.last, s.first-1)
		if len(r.segments) == 1 {
			s.size = end.good
			return r, nil
		}
		if err := fsys.Remove(s.path); err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
		r.segments = r.segments[:len(r.segments)-1]
	}
	return r, nil
}

// tail is where the readable frames of a segment end.
type tail struct {
	last     uint64 // sequence of the last frame; below first if there is none
	lastTime int64
	good     int64 // position behind the last frame
	size     int64
	lost     uint64 // whole frames that follow and are damaged
}

func (t tail) cut() int64 { return t.size - t.good }

// scanEnd finds the last frame. Damage that frames follow is not the end.
func scanEnd(data []byte, first uint64) tail {
	t := tail{last: first - 1, good: min(headerSize, int64(len(data))), size: int64(len(data))}
	for pos := headerSize; pos < len(data); {
		f, n, err := parseFrame(data[pos:])
		if err == nil && f.seq > t.last && f.seq <= t.last+farAhead {
			pos += n
			t.last, t.lastTime, t.good, t.lost = f.seq, f.time, int64(pos), 0
			continue
		}
		next := findFrame(data[pos+1:], t.last, t.last+farAhead)
		if next < 0 {
			if errors.Is(err, errDamaged) {
				t.lost = countWhole(data[pos:], t.last+1)
			}
			return t
		}
		pos += 1 + next
	}
	return t
}

// countWhole counts the damaged frames at the beginning of b that are not cut off: they have the sequences
// that are expected from seq on, or lengths that lead to the end. They may have been sent already:
// their sequences must not be used again, or the stream takes the next record for them.
func countWhole(b []byte, seq uint64) uint64 {
	n := uint64(0)
	for len(b) >= minFrame {
		body := int(binary.BigEndian.Uint32(b))
		fits := body >= frameFixed && body <= maxBody && frameHead+body <= len(b)
		expected := binary.BigEndian.Uint64(b[9:]) == seq+n
		isCut := !fits && body >= frameFixed && body <= maxBody
		if isCut && n > 0 || !expected && (!fits || frameHead+body != len(b)) {
			break
		}
		n++
		if !fits {
			break
		}
		b = b[frameHead+body:]
	}
	return n
}

// cutTail puts the bytes from good on aside, and cuts the file there.
func cutTail(fsys filesystem, dir, path string, data []byte, good int64) error {
	if err := quarantine(fsys, dir, filepath.Base(path)+"-"+strconv.FormatInt(good, 10)+".tail", data[good:]); err != nil {
		return err
	}
	f, err := fsys.OpenFile(path, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	err = f.Truncate(good)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// quarantine keeps data aside under the name.
func quarantine(fsys filesystem, dir, name string, data []byte) error {
	dir = filepath.Join(dir, quarantineName)
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := fsys.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := writeFile(fsys, filepath.Join(dir, name), data); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
