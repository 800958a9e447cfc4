package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
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

func (r *Record) hash() string {
	data := r.append(make([]byte, 0, 1024), func(m *member) bool { return m.kind != transport })
	type span struct{ name, value []byte }
	spans := make([]span, 0, len(members))
	_ = eachMember(data, func(name, value []byte) error {
		spans = append(spans, span{name, value})
		return nil
	})
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.name, b.name) })
	h := sha256.New()
	h.Write([]byte(hashDomain))
	next := []byte("{")
	for _, s := range spans {
		h.Write(next)
		h.Write(s.name)
		h.Write([]byte(":"))
		h.Write(s.value)
		next = []byte(",")
	}
	h.Write([]byte("}"))
	return hex.EncodeToString(h.Sum(nil))
}
