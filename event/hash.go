package event

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// hashDomain keeps the hashes of records apart from other uses of SHA-256.
const hashDomain = "audit/record/v1\n"

// ContentHash gives the hash of the content of r, in lower-case hex: SHA-256 over
// "audit/record/v1\n" and the encoding of r with the top-level members sorted by their names (as
// bytes), without record_hash and without what is added on the way (producer_id, seq, ingested_at,
// stream, stream_offset). So a record has the same hash by whichever way it travelled, and also in a
// version that knows more fields than the one that made it.
func ContentHash(r Record) (string, error) {
	if err := r.validate(); err != nil {
		return "", err
	}
	return r.hash(), nil
}

// hashed are the members that the hash is over, sorted by their names.
var hashed = func() []*member {
	var list []*member
	for i := range members {
		if members[i].kind != transport {
			list = append(list, &members[i])
		}
	}
	slices.SortFunc(list, func(a, b *member) int { return strings.Compare(a.name, b.name) })
	return list
}()

// hashBuffers are for the texts that are hashed, which nobody keeps.
var hashBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxHashBuffer is the size in bytes up to which such a buffer is used again.
const maxHashBuffer = 64 << 10

func (r *Record) hash() string {
	buffer := hashBuffers.Get().(*[]byte) //nolint:forcetypeassert // only those are put
	data := append((*buffer)[:0], hashDomain...)
	start := len(data)
	unknown := sortedNames(r.unknown)
	for _, m := range hashed {
		for len(unknown) > 0 && unknown[0] < m.name {
			data = r.appendUnknown(data, unknown[0])
			unknown = unknown[1:]
		}
		data = r.appendMember(data, m)
	}
	for _, name := range unknown {
		data = r.appendUnknown(data, name)
	}
	data[start] = '{' // in the place of the first member's comma; some are always there
	data = append(data, '}')
	sum := sha256.Sum256(data)
	if cap(data) <= maxHashBuffer {
		*buffer = data
		hashBuffers.Put(buffer)
	}
	return hex.EncodeToString(sum[:])
}
