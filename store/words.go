package store

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxWordLength is the largest length in bytes of a word in a search text. Longer words are cut, in
// records and in queries, so that they still find each other.
const MaxWordLength = 200

// Words gives the folded words of s: runs of letters and digits. Whatever stands between them only
// separates, so john.doe@example.com has four words. In scripts that are written without spaces every
// letter is a word: a part of a name is then found as words that stand together.
func Words(s string) []string {
	var words []string
	eachWord(Fold(s), func(w string) bool {
		words = append(words, w)
		return true
	})
	return words
}

// eachWord calls yield with the words of s, which is folded, until it returns false.
func eachWord(s string, yield func(word string) bool) {
	start := -1
	flush := func(end int) bool {
		if start < 0 {
			return true
		}
		w := s[start:end]
		start = -1
		return yield(cutWord(w))
	}
	for i, r := range s {
		switch {
		case unicode.IsMark(r):
			// A mark belongs to its letter. Without one it separates.
		case !unicode.IsLetter(r) && !unicode.IsNumber(r):
			if !flush(i) {
				return
			}
		case isSpaceless(r):
			if !flush(i) {
				return
			}
			start = i
		case start < 0:
			start = i
		default:
			if prev, _ := utf8.DecodeRuneInString(s[start:]); isSpaceless(prev) {
				if !flush(i) {
					return
				}
				start = i
			}
		}
	}
	flush(len(s))
}

func isSpaceless(r rune) bool {
	return r >= 0x0E00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

func cutWord(w string) string {
	if len(w) <= MaxWordLength {
		return w
	}
	end := MaxWordLength
	for !utf8.RuneStart(w[end]) {
		end--
	}
	return w[:end]
}

// Term is a part of a text query: words that must stand together in this order. It has at least one
// word.
type Term struct {
	Words []string
	// Prefix says that the last word only needs to begin like this.
	Prefix bool
}

// ParseText reads a text query: words, phrases in double quotes, and a * at the end of a word for all
// words that begin with it. All terms must be found. A word that Words takes apart, such as an
// e-mail address, is a phrase. There is no wrong syntax: what has no meaning only separates. The
// answer is empty if s has no word; see Query.Text.
func ParseText(s string) []Term {
	s = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`).Replace(s)
	var terms []Term
	for s != "" {
		var chunk string
		if s[0] == '"' {
			chunk, s, _ = strings.Cut(s[1:], `"`)
		} else if end := strings.IndexFunc(s, func(r rune) bool { return r == '"' || r == '*' || unicode.IsSpace(r) }); end >= 0 {
			chunk, s = s[:end], s[end:]
		} else {
			chunk, s = s, ""
		}
		star := strings.HasPrefix(s, "*")
		if words := Words(chunk); len(words) > 0 {
			terms = append(terms, Term{Words: words, Prefix: star && endsInWord(chunk)})
		}
		if star || chunk == "" && s != "" && s[0] != '"' {
			_, n := utf8.DecodeRuneInString(s)
			s = s[n:]
		}
	}
	return terms
}

func endsInWord(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

// MatchText reports whether text, made by SearchText, has all terms.
func MatchText(terms []Term, text string) bool {
	text = " " + text + " "
	for _, t := range terms {
		needle := " " + strings.Join(t.Words, " ")
		if !t.Prefix {
			needle += " "
		}
		if !strings.Contains(text, needle) {
			return false
		}
	}
	return true
}
