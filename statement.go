package audit

import (
	"strings"

	"github.com/gormtrail/audit/internal/sqltext"
)

// maxStatement is the length in characters to which the text of a statement is cut.
const maxStatement = 2048

// statementShape gives SQL text without its values and comments, be it built by GORM, which leaves in what the
// application wrote into its conditions, or written by hand. Of quoted names only those of the table, and
// those beside a dot, stay, since databases take others for texts. Where texts end for sure is not known if
// there is a backslash (E'it\'s'): then there is the first word only.
func statementShape(text string, t *table) string {
	s := sqltext.Scan(text)
	var b strings.Builder
	number, placeholder := false, false
	for {
		rest := s.Rest()
		token, ok := s.Next()
		if !ok {
			break
		}
		read := rest[:len(rest)-len(s.Rest())]
		glued := b.Len() > 0 && !strings.ContainsAny(read[:1], " \t\n\r\f") && !strings.HasPrefix(read, "--") && !strings.HasPrefix(read, "/*")
		digit := token.Kind == sqltext.Other && token.Text >= "0" && token.Text <= "9"
		word := token.Text
		switch {
		case number && glued && (digit || token.Kind == sqltext.Word || word == "." && token.Kind == sqltext.Other):
			continue // 0xff, 1e9, 2.5
		case placeholder && glued && digit: // $12
			number = false
		case digit:
			word, number = "?", true
		case token.Kind == sqltext.String:
			word, number = "'?'", false
		case token.Kind == sqltext.Name:
			quote, beside := read[len(read)-1:], strings.HasSuffix(b.String(), ".") || strings.HasPrefix(s.Rest(), ".")
			if !beside && t.schema.Table != word && t.schema.FieldsByDBName[word] == nil {
				word = "?"
			}
			word, number = quote+word+quote, false
		default:
			number = false
		}
		placeholder = word == "$" || placeholder && glued && digit
		if b.Len() > 0 && !glued {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		if strings.Contains(text, `\`) {
			return b.String() + " …"
		}
	}
	return cutRunes(b.String(), maxStatement)
}
