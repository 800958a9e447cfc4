package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A frame, in big-endian order:
//
//	length   uint32  of what follows the checksum
//	checksum uint32  CRC-32C of everything but itself
//	kind     uint8   1: a record
//	sequence uint64
//	time     int64   when it was written, in Unix nanoseconds
//	id       uint16  length, then the bytes of the log_id
//	payload          the encoded record, to the end
const (
	frameHead  = 8             // length and checksum
	frameFixed = 1 + 8 + 8 + 2 // what is fixed behind them
	maxBody    = 4 << 20       // more is damage
	kindRecord = 1             // the only kind of this version
	minFrame   = frameHead + frameFixed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errShort   = errors.New("spool: frame is cut off")
	errDamaged = errors.New("spool: frame is damaged")
)

// frame is one frame of a segment.
type frame struct {
	seq     uint64
	time    int64
	id      string
	payload []byte
}

// appendFrame appends the encoding of f to dst.
func appendFrame(dst []byte, f frame) []byte {
	start := len(dst)
	dst = beginFrame(dst, f.seq, f.time, f.id)
	dst = append(dst, f.payload...)
	return endFrame(dst, start)
}

// appendRecord appends the frame of a record that gets the sequence.
func appendRecord(dst []byte, r record, producer string, seq uint64, now int64) []byte {
	start := len(dst)
	dst = beginFrame(dst, seq, now, r.id)
	dst = append(dst, r.encoded...)
	dst = appendStamp(dst, producer, seq)
	return endFrame(dst, start)
}

// beginFrame appends all but the payload, with zeros for length and checksum.
func beginFrame(dst []byte, seq uint64, time int64, id string) []byte {
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, kindRecord)
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = binary.BigEndian.AppendUint64(dst, uint64(time))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(id)))
	return append(dst, id...)
}

// endFrame sets the length and the checksum of the frame that begins at start and goes to the end.
func endFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-frameHead))
	binary.BigEndian.PutUint32(dst[start+4:], checksum(dst[start:]))
	return dst
}

// frameSize is the size of the encoding.
func frameSize(id string, payload int) int { return minFrame + len(id) + payload }

// checksum is that of an encoded frame.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[frameHead:])
}

// parseFrame reads the frame at the beginning of b, and gives its size. The payload is a part of b.
// It gives errShort, with the size that is needed as far as it is known, if b ends before the frame
// does, and errDamaged if there is no frame.
func parseFrame(b []byte) (f frame, size int, err error) {
	if len(b) < frameHead {
		return frame{}, minFrame, errShort
	}
	body := binary.BigEndian.Uint32(b)
	if body < frameFixed || body > maxBody {
		return frame{}, 0, errDamaged
	}
	size = frameHead + int(body)
	if len(b) < size {
		return frame{}, size, errShort
	}
	b = b[:size]
	if binary.BigEndian.Uint32(b[4:]) != checksum(b) || b[frameHead] != kindRecord {
		return frame{}, 0, errDamaged
	}
	f.seq = binary.BigEndian.Uint64(b[9:])
	f.time = int64(binary.BigEndian.Uint64(b[17:]))
	end := minFrame + int(binary.BigEndian.Uint16(b[25:]))
	if end > size || f.seq == 0 {
		return frame{}, 0, errDamaged
	}
	f.id, f.payload = string(b[minFrame:end]), b[end:size:size]
	return f, size, nil
}

// findFrame gives the position of the next frame in b whose sequence is above after and at most upTo;
// -1 if there is none. It is for reading on behind damage.
func findFrame(b []byte, after, upTo uint64) int {
	for i := 0; i+minFrame <= len(b); i++ {
		// These few bytes sort out nearly every position before a checksum is computed.
		if b[i] != 0 || b[i+frameHead] != kindRecord {
			continue
		}
		if seq := binary.BigEndian.Uint64(b[i+9:]); seq <= after || seq > upTo {
			continue
		}
		if _, _, err := parseFrame(b[i:]); err == nil {
			return i
		}
	}
	return -1
}
