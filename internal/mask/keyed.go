package mask

import "strings"

// keyed gives s with the values of names that are secret replaced: password=… as in a connection string or a
// query, "password": … as in JSON that stands in the middle of a text. It looks only where there is such a
// sign, so that an ordinary text costs a search for it.
func keyed(s string, secret func(name string) bool) string {
	var b strings.Builder
	done := 0 // what of s is in b
	for i := 0; i < len(s); i++ {
		var name string
		switch s[i] {
		case '=':
			name = nameBefore(s[done:i])
		case ':':
			name = quotedBefore(s[done:i])
		default:
			continue
		}
		if name == "" || !secret(name) {
			continue
		}
		start := i + 1
		for start < len(s) && s[i] == ':' && (s[start] == ' ' || s[start] == '\t') {
			start++
		}
		from, to := valueAt(s, start)
		if from == to || s[from:to] == Redacted || s[from:to] == "null" {
			continue
		}
		b.WriteString(s[done:from])
		if s[i] == ':' && from == start {
			b.WriteString(`"` + Redacted + `"`)
		} else {
			b.WriteString(Redacted)
		}
		done, i = to, to-1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// maxName is how long a name is that is looked at.
const maxName = 64

// nameBefore gives the name at the end of s.
func nameBefore(s string) string {
	i := len(s)
	for i > 0 && len(s)-i < maxName && nameByte(s[i-1]) {
		i--
	}
	return s[i:]
}

// quotedBefore gives the name in double quotes at the end of s.
func quotedBefore(s string) string {
	s = strings.TrimRight(s, " \t\\")
	inner, ok := strings.CutSuffix(s, `"`)
	if !ok {
		return ""
	}
	name := nameBefore(strings.TrimRight(inner, `\`))
	if !strings.HasSuffix(strings.TrimRight(inner, `\`), `"`+name) {
		return ""
	}
	return name
}

func nameByte(c byte) bool {
	return c == '_' || c == '-' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// valueAt gives where the value that begins at i begins and ends, without its quotes.
func valueAt(s string, i int) (from, to int) {
	escaped := i < len(s) && s[i] == '\\' // JSON inside a JSON string
	if escaped {
		i++
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		quote := s[i]
		for to = i + 1; to < len(s) && s[to] != quote; to++ {
			if s[to] == '\\' {
				if escaped {
					break // the closing \"
				}
				to++
			}
		}
		return i + 1, min(to, len(s))
	}
	to = i
	if i < len(s) && (s[i] == '[' || s[i] == '{') {
		return i, i + balanced(s[i:])
	}
	for to < len(s) && !strings.ContainsRune(" \t\r\n&;,\"'})]", rune(s[to])) {
		to++
	}
	return i, to
}

// balanced gives the length of the JSON array or object at the beginning of s; all of s if it does not end.
func balanced(s string) int {
	open, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}
