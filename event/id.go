package event

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// Bits of the lower half of an id, below the variant: a counter, then chance.
const (
	counterBits = 26
	chanceBits  = 62 - counterBits
)

// counter counts the ids of this process, from a random number on, so that it tells nobody how many
// there were. Where it wraps, after 33 million or more, ids of the same moment are out of order.
var counter = func() *atomic.Uint64 {
	var c atomic.Uint64
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	c.Store(binary.BigEndian.Uint64(b[:]) & (1<<(counterBits-1) - 1))
	return &c
}()

// NewID gives a UUIDv7 (RFC 9562, section 5.7) for the time t, in lower case: 48 bits of Unix
// milliseconds, 12 bits of their fraction, a counter of 26 bits, and 36 random bits. So ids that one
// process makes, one after the other and for times that do not go back, are in ascending order: stores
// order records of the same millisecond by their ids. It may be called concurrently.
func NewID(t time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[8:]) // never fails, see crypto/rand
	fraction := uint64(t.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	binary.BigEndian.PutUint64(b[:], uint64(t.UnixMilli())<<16|7<<12|fraction)
	chance := binary.BigEndian.Uint64(b[8:]) & (1<<chanceBits - 1)
	count := counter.Add(1) & (1<<counterBits - 1)
	binary.BigEndian.PutUint64(b[8:], 0b10<<62|count<<chanceBits|chance)
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
