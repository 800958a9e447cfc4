package event

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// Stamp gives a copy of encoded, an encoding made by Encode, in which producer_id and seq are set,
// without decoding it: a durable queue knows the sequence number only when it writes. Decode gives
// the same record as if the fields had been set before Encode. The stamp takes less than MaxStamp
// bytes beyond the id, which Encode leaves free.
//
// What is not a JSON object comes back as it is.
func Stamp(encoded []byte, producerID string, seq uint64) []byte {
	return splice(encoded, len(producerID)+64, []string{"producer_id", "seq"}, func(dst []byte) []byte {
		if producerID != "" {
			dst = appendString(appendName(dst, "producer_id"), producerID)
		}
		if seq != 0 {
			dst = appendUint(dst, "seq", seq)
		}
		return dst
	})
}

// StampIngest is Stamp for ingested_at, stream and stream_offset, which the consumer sets.
func StampIngest(encoded []byte, ingestedAt time.Time, stream string, offset int64) []byte {
	names := []string{"ingested_at", "stream", "stream_offset"}
	return splice(encoded, len(stream)+128, names, func(dst []byte) []byte {
		if !ingestedAt.IsZero() {
			dst = appendTime(appendName(dst, "ingested_at"), ingestedAt)
		}
		if stream != "" {
			dst = appendString(appendName(dst, "stream"), stream)
			dst = strconv.AppendInt(appendName(dst, "stream_offset"), offset, 10)
		}
		return dst
	})
}

// splice gives a copy of the object encoded with the members names taken out and those that put
// appends at the end.
func splice(encoded []byte, grow int, names []string, put func([]byte) []byte) []byte {
	d := bytes.TrimSpace(encoded)
	if len(d) < 2 || d[0] != '{' || d[len(d)-1] != '}' {
		return bytes.Clone(encoded)
	}
	dst := make([]byte, 0, len(d)+grow)
	if !HasMember(d, names...) {
		dst = append(dst, d[:len(d)-1]...)
		return append(put(dst), '}')
	}
	dst = append(dst, '{')
	_ = eachMember(d, func(name, value []byte) error {
		if key := unquote(name); !slices.Contains(names, key) {
			dst = append(appendName(dst, key), value...)
		}
		return nil
	})
	return append(put(dst), '}')
}
