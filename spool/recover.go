package spool

import (
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
	lost     uint64 // records at the end that were whole once, and are damaged
}

// recoverFolder reads what is there, cuts off an end that was not completely written, and puts aside
// what it cuts. Damage in the middle stays until it is read.
func recoverFolder(dir string, logger *slog.Logger) (recovered, error) {
	segments, headless, err := listSegments(dir)
	if err != nil {
		return recovered{}, err
	}
	for _, path := range headless { // of a crash while it was made: nothing was written to it
		if err := os.Remove(path); err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
	}
	r := recovered{segments: segments}
	for len(r.segments) > 0 {
		s := &r.segments[len(r.segments)-1]
		data, err := os.ReadFile(s.path)
		if err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
		end := scanEnd(data, s.first)
		if end.cut() > 0 {
			logger.Warn("spool: cut off the end of a segment that was not completely written",
				slog.String("file", s.path), slog.Int64("bytes", end.cut()))
			if err := cutTail(dir, s.path, data, end.good); err != nil {
				return recovered{}, err
			}
			r.cut += end.cut()
		}
		if end.last >= s.first {
			s.size = end.good
			r.last, r.lastTime, r.lost = end.last+end.lost, end.lastTime, end.lost
			return r, nil
		}
		// No frame in it. A new segment of this name may be made.
		if err := os.Remove(s.path); err != nil {
			return recovered{}, fmt.Errorf("spool: %w", err)
		}
		r.last = s.first - 1 + end.lost
		r.lost += end.lost
		r.segments = r.segments[:len(r.segments)-1]
		if end.lost > 0 || len(r.segments) == 0 {
			return r, nil
		}
		r.last = 0
	}
	return r, nil
}

// tail is where the readable frames of a segment end.
type tail struct {
	last     uint64 // sequence of the last frame; below first if there is none
	lastTime int64
	good     int64 // position behind the last frame
	size     int64
	lost     uint64 // 1 if a whole frame follows that is damaged
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
			// Length and sequence of a frame that was whole, and may have been sent already: its sequence
			// must not be used again, or the stream takes the next record for it.
			if errors.Is(err, errDamaged) && looksWhole(data[pos:], t.last+1) {
				t.lost = 1
			}
			return t
		}
		pos += 1 + next
	}
	return t
}

// looksWhole reports whether b begins with a damaged frame that is not cut off: it has either the
// length that fits or the sequence that is expected.
func looksWhole(b []byte, seq uint64) bool {
	if len(b) < minFrame {
		return false
	}
	body := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	var got uint64
	for _, c := range b[9:17] {
		got = got<<8 | uint64(c)
	}
	return got == seq || body >= frameFixed && frameHead+body == len(b)
}

// cutTail puts the bytes from good on aside, and cuts the file there.
func cutTail(dir, path string, data []byte, good int64) error {
	if err := quarantine(dir, filepath.Base(path)+"-"+strconv.FormatInt(good, 10)+".tail", data[good:]); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
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
func quarantine(dir, name string, data []byte) error {
	dir = filepath.Join(dir, quarantineName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := writeFile(filepath.Join(dir, name), data); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
