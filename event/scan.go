package event

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// The functions of this file walk JSON that json.Valid has accepted. encoding/json alone would not
// do: it reads member names without regard to case, keeps the last of equal ones silently, and
// forgets where in the text a value stood.

// skipSpace gives the index of the first byte of d from i on that is not white space.
func skipSpace(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\t' || d[i] == '\n' || d[i] == '\r') {
		i++
	}
	return i
}

// skipString gives the index after the string that starts at d[i].
func skipString(d []byte, i int) int {
	for i = plainEnd(d, i+1); i < len(d); i = plainEnd(d, i+1) {
		switch d[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(d)
}

// skipValue gives the index after the value that starts at d[i]. It does not recurse.
func skipValue(d []byte, i int) int {
	if i >= len(d) {
		return len(d)
	}
	switch d[i] {
	case '"':
		return skipString(d, i)
	case '{', '[':
		depth := 0
		for i < len(d) {
			switch d[i] {
			case '"':
				i = skipString(d, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(d)
	}
	for ; i < len(d); i++ {
		switch d[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

// eachMember calls f for the members of the object d, in order. name has its quotes.
func eachMember(d []byte, f func(name, value []byte) error) error {
	i := skipSpace(d, 0)
	if i >= len(d) || d[i] != '{' {
		return nil
	}
	for i = skipSpace(d, i+1); i < len(d) && d[i] == '"'; i = skipSpace(d, i) {
		end := skipString(d, i)
		name := d[i:end]
		i = skipSpace(d, skipSpace(d, end)+1) // the colon
		end = skipValue(d, i)
		if i > end {
			return nil
		}
		if err := f(name, d[i:end]); err != nil {
			return err
		}
		i = skipSpace(d, end)
		if i < len(d) && d[i] == ',' {
			i++
		}
	}
	return nil
}

// eachElement calls f for the elements of the array d, in order.
func eachElement(d []byte, f func(value []byte) error) error {
	i := skipSpace(d, 0)
	if i >= len(d) || d[i] != '[' {
		return nil
	}
	for i = skipSpace(d, i+1); i < len(d) && d[i] != ']'; i = skipSpace(d, i) {
		end := skipValue(d, i)
		if err := f(d[i:end]); err != nil {
			return err
		}
		i = skipSpace(d, end)
		if i < len(d) && d[i] == ',' {
			i++
		}
	}
	return nil
}

// depth gives how deeply the objects and arrays of d are nested.
func depth(d []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(d); i++ {
		switch d[i] {
		case '"':
			i = skipString(d, i) - 1
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		}
	}
	return deepest
}

// Readers such as OpenSearch refuse a whole document for a number of more than 1000 characters, or a name
// of more than 50,000. No database refuses either in a column of JSON.
const (
	maxNumber = 1000
	maxName   = 32 << 10 // bytes
)

// extreme reports whether the valid JSON d has a number or a name that is longer than readers take.
func extreme(d []byte) bool {
	if len(d) <= maxNumber {
		return false
	}
	for i := 0; i < len(d); {
		switch c := d[i]; {
		case c == '"':
			end := skipString(d, i)
			next := skipSpace(d, end)
			if end-i > maxName && next < len(d) && d[next] == ':' {
				return true
			}
			i = end
		case c == '-' || c >= '0' && c <= '9':
			start := i
			for i < len(d) && (d[i] >= '0' && d[i] <= '9' || bytes.IndexByte([]byte("+-.eE"), d[i]) >= 0) {
				i++
			}
			if i-start > maxNumber {
				return true
			}
		default:
			i++
		}
	}
	return false
}

// unquote gives the text of the JSON string d. Half a surrogate pair becomes U+FFFD.
func unquote(d []byte) string {
	if len(d) < 2 {
		return ""
	}
	if bytes.IndexByte(d, '\\') < 0 {
		return string(d[1 : len(d)-1])
	}
	var s string
	_ = json.Unmarshal(d, &s) // the caller knows that it is a string
	return s
}

// appendString appends s as a JSON string. Of two ways to write a character it takes the shorter
// one, so that equal texts have equal encodings; < and > are for the readers to escape. Bytes that
// are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendCanonical appends the JSON value d without white space and with its strings written as
// appendString does. Numbers stay as they are, so that no digit is lost.
func appendCanonical(dst, d []byte) []byte {
	for i := 0; i < len(d); {
		switch d[i] {
		case ' ', '\t', '\r', '\n':
			i++
		case '"':
			end := skipString(d, i)
			if bytes.IndexByte(d[i:end], '\\') < 0 {
				dst = append(dst, d[i:end]...)
			} else {
				dst = appendString(dst, unquote(d[i:end]))
			}
			i = end
		default:
			dst = append(dst, d[i])
			i++
		}
	}
	return dst
}

// duplicateKey gives the first name that stands twice in one object of d, at any depth; "" if none
// does. d is not deeper than MaxDepth, so the recursion ends.
func duplicateKey(d []byte) (name string, found bool) {
	i := skipSpace(d, 0)
	if i >= len(d) || d[i] != '{' && d[i] != '[' {
		return "", false
	}
	inner := func(value []byte) error {
		if name, found = duplicateKey(value); found {
			return errStop
		}
		return nil
	}
	if d[i] == '[' {
		_ = eachElement(d, inner)
		return name, found
	}
	var seen keySet
	_ = eachMember(d, func(key, value []byte) error {
		if !seen.add(key) {
			name, found = unquote(key), true
			return errStop
		}
		return inner(value)
	})
	return name, found
}

// keySet is a set of quoted names that allocates nothing while it is small.
type keySet struct {
	few  [64][]byte
	n    int
	many map[string]struct{}
}

// add reports whether the name is new.
func (s *keySet) add(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = appendString(nil, unquote(name))
	}
	if s.many != nil {
		before := len(s.many)
		s.many[string(name)] = struct{}{}
		return len(s.many) > before
	}
	for _, k := range s.few[:s.n] {
		if bytes.Equal(k, name) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]struct{}, 2*len(s.few))
	for _, k := range s.few {
		s.many[string(k)] = struct{}{}
	}
	s.many[string(name)] = struct{}{}
	return true
}

// appendUint appends ,"name":v.
func appendUint(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(appendName(dst, name), v, 10)
}

// appendName appends ,"name": .
func appendName(dst []byte, name string) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(appendString(dst, name), ':')
}
