package event

import (
	"crypto/sha256"
	"encoding/hex"
)

// hashDomain keeps the hashes of records apart from other uses of SHA-256.
const hashDomain = "audit/record/v1\n"

// ContentHash gives the hash of the content of r, in lower-case hex: SHA-256 over
// "audit/record/v1\n" and the encoding of r without record_hash and without what is added on the
// way (producer_id, seq, ingested_at, stream, stream_offset). So the same record has the same hash
// by whichever way it travelled.
func ContentHash(r Record) (string, error) {
	data, err := r.append([]byte(hashDomain), func(name string) bool {
		switch name {
		case "record_hash", "producer_id", "seq", "ingested_at", "stream", "stream_offset":
			return true
		}
		return false
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
