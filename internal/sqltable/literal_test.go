package sqltable

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// readLiteral reads an escape string as PostgreSQL does, and fails the test if anything follows it.
func readLiteral(t *testing.T, s string) string {
	t.Helper()
	body, ok := strings.CutPrefix(s, "E'")
	if !ok {
		t.Fatalf("%q does not begin as an escape string", s)
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c >= utf8.RuneSelf:
			t.Fatalf("%q is not ASCII", s)
		case c == '\'' && i == len(body)-1:
			return b.String()
		case c == '\'' && body[i+1] == '\'':
			b.WriteByte(c)
			i++
		case c == '\'':
			t.Fatalf("%q ends at byte %d", s, i+2)
		case c == '\\' && body[i+1] == '\\':
			b.WriteByte(c)
			i++
		case c == '\\':
			digits := map[byte]int{'u': 4, 'U': 8}[body[i+1]]
			r, err := strconv.ParseUint(body[i+2:i+2+digits], 16, 32)
			if digits == 0 || err != nil {
				t.Fatalf("%q has an escape that is none at byte %d", s, i+2)
			}
			b.WriteRune(rune(r))
			i += 1 + digits
		default:
			b.WriteByte(c)
		}
	}
	t.Fatalf("%q does not end", s)
	return ""
}

func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, "é'", "😀\\", "a\nb", "\u007f\u0080\uffff\U0010ffff", "'''", `\\u0027`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return
		}
		var b strings.Builder
		WriteLiteral(&b, s)
		if got := readLiteral(t, b.String()); got != s {
			t.Fatalf("%q is written as %q, which is %q", s, b.String(), got)
		}
	})
}
