package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxPlainNames is how many names isPlain remembers of the objects that it is in.
const maxPlainNames = 96

// isPlain reports whether raw, at most allowed levels deep, surely is what appendRaw would make of it, which
// is so for all values and nearly all records that this module encodes. It looks at each byte once; what it does
// not know for sure, appendRaw and Decode look at more closely.
func isPlain(raw []byte, allowed int) bool {
	if !utf8.Valid(raw) {
		return false
	}
	if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
		return isPlainWithin(raw, allowed)
	}
	p := plain{raw: raw}
	return p.value(allowed) && p.at == len(raw)
}

// isPlainWithin is isPlain for an object or an array, which alone need the room for names.
func isPlainWithin(raw []byte, allowed int) bool {
	var room [maxPlainNames]nameAt
	p := plain{raw: raw, names: &room}
	return p.value(allowed) && p.at == len(raw)
}

// plain is a place in a JSON text.
type plain struct {
	raw   []byte
	at    int
	names *[maxPlainNames]nameAt // of the objects that it is in, the innermost last
	named int                    // so many of them
}

// nameAt is where a name stands, with its quotes.
type nameAt struct{ start, end int }

// next gives the byte at the place, 0 at the end.
func (p *plain) next() byte {
	if p.at < len(p.raw) {
		return p.raw[p.at]
	}
	return 0
}

func (p *plain) value(allowed int) bool {
	switch c := p.next(); c {
	case '"':
		return p.text()
	case '{':
		return allowed > 0 && p.object(allowed-1)
	case '[':
		return allowed > 0 && p.array(allowed-1)
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	default:
		return p.number()
	}
}

func (p *plain) word(w string) bool {
	if len(p.raw)-p.at < len(w) || string(p.raw[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

// text goes over a string in its shortest form. One with \u is left to others.
func (p *plain) text() bool {
	for p.at = plainEnd(p.raw, p.at+1); p.at < len(p.raw); p.at = plainEnd(p.raw, p.at+1) {
		switch p.raw[p.at] {
		case '"':
			p.at++
			return true
		case '\\':
			p.at++
			switch p.next() {
			case '"', '\\', 'n', 'r', 't', 'b', 'f':
			default:
				return false
			}
		default:
			return false
		}
	}
	return false
}

// plainEnd gives the index of the first byte of d from i on that does not stand for itself in a JSON string: a
// quote, a backslash or a control character; len(d) if there is none. It looks at eight bytes at once, with the
// tests for a zero byte and for a byte below n of "Bit Twiddling Hacks" (Sean Eron Anderson, Stanford), of which
// the lowest hit is exact.
func plainEnd(d []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; i+8 <= len(d); i += 8 {
		x := binary.LittleEndian.Uint64(d[i:])
		quote, backslash := x^('"'*ones), x^('\\'*ones)
		hit := ((x-' '*ones)&^x | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(d) && d[i] >= ' ' && d[i] != '"' && d[i] != '\\' {
		i++
	}
	return min(i, len(d))
}

// number goes over a number that no reader refuses for its length.
func (p *plain) number() bool {
	start := p.at
	if p.next() == '-' {
		p.at++
	}
	if p.next() == '0' {
		p.at++
	} else if !p.digits() {
		return false
	}
	if p.next() == '.' {
		p.at++
		if !p.digits() {
			return false
		}
	}
	if c := p.next(); c == 'e' || c == 'E' {
		p.at++
		if c = p.next(); c == '+' || c == '-' {
			p.at++
		}
		if !p.digits() {
			return false
		}
	}
	return p.at-start <= maxNumber
}

func (p *plain) digits() bool {
	start := p.at
	for p.at < len(p.raw) && p.raw[p.at] >= '0' && p.raw[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

func (p *plain) array(allowed int) bool {
	if p.at++; p.next() == ']' {
		p.at++
		return true
	}
	for {
		if !p.value(allowed) {
			return false
		}
		switch p.next() {
		case ',':
			p.at++
		case ']':
			p.at++
			return true
		default:
			return false
		}
	}
}

func (p *plain) object(allowed int) bool {
	if p.at++; p.next() == '}' {
		p.at++
		return true
	}
	first := p.named
	var hashes uint64 // of the names, a bit each: a new bit is a new name
	for {
		start := p.at
		if p.named == maxPlainNames || p.next() != '"' || !p.text() {
			return false
		}
		name := p.raw[start:p.at]
		if len(name) > maxName || bytes.IndexByte(name, '\\') >= 0 {
			return false
		}
		bit := uint64(1) << (hashOf(name) % 64)
		if hashes&bit != 0 && p.has(first, name) {
			return false
		}
		hashes |= bit
		p.names[p.named] = nameAt{start, p.at}
		p.named++
		if p.next() != ':' {
			return false
		}
		if p.at++; !p.value(allowed) {
			return false
		}
		switch p.next() {
		case ',':
			p.at++
		case '}':
			p.at++
			p.named = first
			return true
		default:
			return false
		}
	}
}

func (p *plain) has(first int, name []byte) bool {
	for _, known := range p.names[first:p.named] {
		if bytes.Equal(p.raw[known.start:known.end], name) {
			return true
		}
	}
	return false
}

// hashOf is FNV-1a, folded.
func hashOf(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h ^ h>>32
}
