package store

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold gives s as it is compared: without case, without accents, and in one Unicode form whatever
// form s came in (NFC or NFD). "Nguyễn", "NGUYỄN" and "nguyen" fold to the same text, and so do "Đà" and
// "da". Letters of scripts whose marks are not accents (Thai, Devanagari, Hebrew, …) keep them. Folding
// twice changes nothing.
func Fold(s string) string {
	if isFolded(s) {
		return s
	}
	var space [128]byte
	return string(AppendFold(space[:0], s))
}

// isFolded reports whether s is ASCII without upper case: then there is nothing to do.
func isFolded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// AppendFold appends Fold of s to dst.
func AppendFold(dst []byte, s string) []byte {
	if folded, ok := appendLatin(dst, s); ok {
		return folded
	}
	return foldAny(dst, s)
}

// foldAny is AppendFold for any text.
func foldAny(dst []byte, s string) []byte {
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
	return append(dst, norm.NFC.String(b.String())...)
}

// appendLatin is AppendFold for texts of ASCII and Latin letters, each of which folds to ASCII by itself: what
// stands beside it makes no difference. For all others ok is false.
func appendLatin(dst []byte, s string) (_ []byte, ok bool) {
	start := len(dst)
	for _, r := range s {
		if r < utf8.RuneSelf {
			if r >= 'A' && r <= 'Z' {
				r += 'a' - 'A'
			}
			dst = append(dst, byte(r))
			continue
		}
		plain := latinOf(r)
		if plain == "" {
			return dst[:start], false
		}
		dst = append(dst, plain...)
	}
	return dst, true
}

// Blocks of Latin letters with accents: Latin-1 Supplement to Latin Extended-B, Latin Extended Additional,
// which has those of Vietnamese.
const (
	latinFrom, latinTo           = 0x00C0, 0x0250
	additionalFrom, additionalTo = 0x1E00, 0x1F00
)

func latinOf(r rune) string {
	switch {
	case r >= latinFrom && r < latinTo:
		return latin()[r-latinFrom]
	case r >= additionalFrom && r < additionalTo:
		return latin()[latinTo-latinFrom+r-additionalFrom]
	}
	return ""
}

// latin has what each letter of the blocks folds to, "" if that is not ASCII.
var latin = sync.OnceValue(func() []string {
	table := make([]string, 0, latinTo-latinFrom+additionalTo-additionalFrom)
	add := func(from, to rune) {
		for r := from; r < to; r++ {
			folded := string(foldAny(nil, string(r)))
			if !isASCII(folded) {
				folded = ""
			}
			table = append(table, folded)
		}
	}
	add(latinFrom, latinTo)
	add(additionalFrom, additionalTo)
	return table
})

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
