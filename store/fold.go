package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold gives s as it is compared: without case, without accents, and in one Unicode form whatever
// form s came in (NFC or NFD). "Nguyễn", "NGUYỄN" and "nguyen" fold to the same text, and so do "Đà" and
// "da". Letters of scripts whose marks are not accents (Thai, Devanagari, Hebrew, …) keep them. Folding
// twice changes nothing.
func Fold(s string) string {
	ascii, lower := true, true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
		lower = lower && (s[i] < 'A' || s[i] > 'Z')
	}
	if ascii {
		if lower {
			return s
		}
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(s, "\uFFFD")) {
		if isAccent(r) {
			continue
		}
		// By way of the upper case, because some letters have two lower-case forms (σ and ς).
		r = unicode.ToLower(unicode.ToUpper(r))
		if plain, ok := unaccented[r]; ok {
			b.WriteString(plain)
			continue
		}
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// isAccent reports whether r is a combining mark of the blocks that hold accents.
func isAccent(r rune) bool {
	switch {
	case r < 0x0300:
		return false
	case r <= 0x036F, 0x1AB0 <= r && r <= 0x1AFF, 0x1DC0 <= r && r <= 0x1DFF, 0x20D0 <= r && r <= 0x20FF, 0xFE20 <= r && r <= 0xFE2F:
		return unicode.Is(unicode.M, r)
	}
	return false
}

// unaccented has the letters that people take for a letter with an accent, and that Unicode does not
// take apart.
var unaccented = map[rune]string{
	'đ': "d", 'ð': "d", 'ħ': "h", 'ı': "i", 'ł': "l", 'ŋ': "n", 'ø': "o", 'ŧ': "t", 'ƀ': "b", 'ɨ': "i", 'ƶ': "z",
	'ɓ': "b", 'ɖ': "d", 'ɗ': "d", 'ƙ': "k", 'ɲ': "n", 'ƴ': "y",
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th", 'ĸ': "k",
}
