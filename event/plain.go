package event

import (
	"bytes"
	"unicode/utf8"
)

// maxPlainNames is how many names of one object are compared with each other by isPlain.
const maxPlainNames = 16

// isPlain reports whether raw, at most allowed levels deep, surely is what appendRaw would make of it, which
// is so for all values that this module encodes. It looks at each byte once; what it does not know for sure,
// appendRaw looks at more closely.
func isPlain(raw []byte, allowed int) bool {
	p := plain{raw: raw}
	return utf8.Valid(raw) && p.value(allowed) && p.at == len(raw)
}

// plain is a place in a JSON text.
type plain struct {
	raw []byte
	at  int
}

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
	for p.at++; p.at < len(p.raw); p.at++ {
		switch c := p.raw[p.at]; {
		case c == '"':
			p.at++
			return true
		case c == '\\':
			p.at++
			switch p.next() {
			case '"', '\\', 'n', 'r', 't', 'b', 'f':
			default:
				return false
			}
		case c < ' ':
			return false
		}
	}
	return false
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
	var names [maxPlainNames][]byte
	for n := 0; ; n++ {
		start := p.at
		if n == maxPlainNames || p.next() != '"' || !p.text() {
			return false
		}
		name := p.raw[start:p.at]
		if len(name) > maxName || bytes.IndexByte(name, '\\') >= 0 {
			return false
		}
		for _, other := range names[:n] {
			if bytes.Equal(name, other) {
				return false
			}
		}
		names[n] = name
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
			return true
		default:
			return false
		}
	}
}
