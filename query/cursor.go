package query

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"github.com/gormtrail/audit/store"
)

var (
	errCursorForged   = errors.New("query: cursor is not one of ours")
	errCursorMismatch = errors.New("query: cursor belongs to another search")
	errCursorExpired  = errors.New("query: cursor has expired")
)

// A cursor is, in base64url, version (1 byte), direction (1), SHA-256[:16] of the search it belongs
// to, expiry in Unix seconds (8), seconds (8) and nanoseconds (4) of the timestamp, log_id, and
// HMAC-SHA256[:16] of all that.
const (
	cursorVersion = 1
	cursorFixed   = 1 + 1 + 16 + 8 + 8 + 4
	cursorMAC     = 16
)

// place is where a page begins.
type place struct {
	position store.Position
	// back means: the records before the position, seen in the direction of the search.
	back bool
}

type cursors struct {
	key []byte
	ttl time.Duration
}

// scope is the fingerprint of a search and of who makes it: a cursor works in its own scope only.
type scope [16]byte

func scopeOf(operation Operation, q store.Query, grant Grant) scope {
	h := sha256.New()
	writeText(h, "operation", string(operation))
	writeText(h, "principal", grant.Principal, "text", q.Text, fmt.Sprint(q.Ascending), stamp(q.From), stamp(q.To))
	writeFilters(h, "asked", q.Filters)
	writeFilters(h, "granted", grant.Filters)
	hidden := slices.Sorted(slices.Values(grant.Hidden))
	writeText(h, append([]string{"hidden"}, hidden...)...)
	var s scope
	copy(s[:], h.Sum(nil))
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// writeText hashes texts, each behind its length, so that no two lists look the same.
func writeText(h hash.Hash, texts ...string) {
	_ = binary.Write(h, binary.BigEndian, int64(len(texts))) // a hash takes everything
	for _, t := range texts {
		_ = binary.Write(h, binary.BigEndian, int64(len(t)))
		h.Write([]byte(t))
	}
}

func writeFilters(h hash.Hash, kind string, filters []store.Filter) {
	sorted := slices.Clone(filters)
	slices.SortStableFunc(sorted, func(a, b store.Filter) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(fmt.Sprint(a.Not), fmt.Sprint(b.Not)))
	})
	writeText(h, kind, fmt.Sprint(len(sorted)))
	for _, f := range sorted {
		writeText(h, string(f.Field), fmt.Sprint(f.Not))
		writeText(h, slices.Sorted(slices.Values(f.Values))...)
	}
}

// encode gives the cursor for a place in a search.
func (c cursors) encode(p place, s scope, now time.Time) string {
	b := make([]byte, 0, cursorFixed+len(p.position.LogID)+cursorMAC)
	b = append(b, cursorVersion, 0)
	if p.back {
		b[1] = 1
	}
	b = append(b, s[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Add(c.ttl).Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(p.position.Timestamp.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(p.position.Timestamp.Nanosecond()))
	b = append(b, p.position.LogID...)
	return base64.RawURLEncoding.EncodeToString(append(b, c.mac(b)...))
}

// decode gives the place of a cursor that belongs to the search.
func (c cursors) decode(text string, s scope, now time.Time) (place, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= cursorFixed+cursorMAC {
		return place{}, errCursorForged
	}
	b, mac := b[:len(b)-cursorMAC], b[len(b)-cursorMAC:]
	if !hmac.Equal(mac, c.mac(b)) || b[0] != cursorVersion {
		return place{}, errCursorForged
	}
	if !hmac.Equal(b[2:18], s[:]) {
		return place{}, errCursorMismatch
	}
	if now.Unix() > int64(binary.BigEndian.Uint64(b[18:])) {
		return place{}, errCursorExpired
	}
	return place{
		back: b[1] == 1,
		position: store.Position{
			Timestamp: time.Unix(int64(binary.BigEndian.Uint64(b[26:])), int64(binary.BigEndian.Uint32(b[34:]))).UTC(),
			LogID:     string(b[cursorFixed:]),
		},
	}, nil
}

func (c cursors) mac(b []byte) []byte {
	m := hmac.New(sha256.New, c.key)
	m.Write(b)
	return m.Sum(nil)[:cursorMAC]
}
