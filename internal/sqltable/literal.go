package sqltable

import (
	"strings"
	"unicode/utf8"
)

// WriteLiteral writes s, which is UTF-8 without NUL, as a literal of PostgreSQL. It is right whatever
// standard_conforming_strings and client_encoding are: an escape string, in which backslashes always
// escape, of ASCII only, so that no byte can be taken for half of a character that swallows a quote.
func WriteLiteral(b *strings.Builder, s string) {
	const hex = "0123456789abcdef"
	b.WriteString("E'")
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf && c != '\'' && c != '\\' {
			i++
			continue
		}
		b.WriteString(s[start:i])
		if c < utf8.RuneSelf {
			b.WriteByte(c)
			b.WriteByte(c)
			i++
		} else {
			r, n := utf8.DecodeRuneInString(s[i:])
			b.WriteByte('\\')
			digits := 4
			if r > 0xFFFF {
				b.WriteByte('U')
				digits = 8
			} else {
				b.WriteByte('u')
			}
			for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
				b.WriteByte(hex[r>>shift&0xF])
			}
			i += n
		}
		start = i
	}
	b.WriteString(s[start:])
	b.WriteByte('\'')
}
