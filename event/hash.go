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

// hashed are the positions of the members that the hash is over, sorted by their names.
var hashed = func() []int {
	var list []int
	for i := range members {
		if members[i].kind != transport {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b int) int { return strings.Compare(members[a].name, members[b].name) })
	return list
}()

// hashBuffers are for the texts that are hashed, which nobody keeps.
var hashBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxHashBuffer is the size in bytes up to which such a buffer is used again.
const maxHashBuffer = 64 << 10

// maxMembers is a bound of the number of members.
const maxMembers = 80

// span is where a member stands in an encoding, with the comma before it.
type span struct{ start, end int }

// content appends the members of the content of r in the order of the encoding, and says where each is.
func (r *Record) content(dst []byte, spans *[maxMembers]span) []byte {
	for i := range members {
		if members[i].kind == transport {
			continue
		}
		start := len(dst)
		dst = r.appendMember(dst, &members[i])
		spans[i] = span{start, len(dst)}
	}
	return dst
}

// hash gives the hash of the content of r.
func (r *Record) hash() string {
	buffer := hashBuffers.Get().(*[]byte) //nolint:forcetypeassert // only those are put
	var spans [maxMembers]span
	data := r.content((*buffer)[:0], &spans)
	hash := r.hashOf(data, &spans)
	if cap(data) <= maxHashBuffer {
		*buffer = data
	}
	hashBuffers.Put(buffer)
	return hash
}

// hashOf gives the hash of content that is encoded already.
func (r *Record) hashOf(content []byte, spans *[maxMembers]span) string {
	buffer := hashBuffers.Get().(*[]byte) //nolint:forcetypeassert // only those are put
	data := append((*buffer)[:0], hashDomain...)
	start := len(data)
	unknown := sortedNames(r.unknown)
	for _, i := range hashed {
		for len(unknown) > 0 && unknown[0] < members[i].name {
			data = r.appendUnknown(data, unknown[0])
			unknown = unknown[1:]
		}
		data = append(data, content[spans[i].start:spans[i].end]...)
	}
	for _, name := range unknown {
		data = r.appendUnknown(data, name)
	}
	data[start] = '{' // in the place of the first member's comma; some are always there
	data = append(data, '}')
	sum := sha256.Sum256(data)
	if cap(data) <= maxHashBuffer {
		*buffer = data
	}
	hashBuffers.Put(buffer)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// Seal sets the record_hash of r and appends the encoding of r to dst: what ContentHash and Encode give, for
// the price of one of them. The error is that of Encode, and leaves r as it is.
func Seal(r *Record, dst []byte) ([]byte, error) {
	if err := r.validate(); err != nil {
		return dst, err
	}
	start := len(dst)
	var spans [maxMembers]span
	dst = r.content(dst, &spans)
	r.RecordHash = r.hashOf(dst, &spans)
	for i := range members {
		if members[i].kind == transport {
			dst = r.appendMember(dst, &members[i])
		}
	}
	dst = r.finish(dst, start)
	if len(dst)-start <= MaxSize-MaxStamp {
		return dst, nil
	}
	whole := *r
	return append(dst[:start], whole.fit(slices.Clone(dst[start:]))...), nil
}
