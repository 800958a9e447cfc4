package audit

import (
	"regexp"
	"strings"
)

// Values that an application wrote into its conditions instead of binding them.
var (
	quotedText   = regexp.MustCompile(`'(?:[^']|'')*'`)
	doubleQuoted = regexp.MustCompile(`"(?:[^"]|"")*"`)
	// A number, but no placeholder ($1) and no part of a name.
	number = regexp.MustCompile("(^|[^\\w$.\"`])[0-9][\\w.]*")
	// Where such a text ends depends on the database and its settings.
	unclear = regexp.MustCompile(`\\['"]|\$[A-Za-z_0-9]*\$`)
)

// withoutValues gives the text of a statement with its constants replaced; of one that cannot be read for
// sure the first word only.
func withoutValues(statement string) string {
	if unclear.MatchString(statement) {
		verb, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
		return verb + " …"
	}
	out := quotedText.ReplaceAllString(statement, "'?'")
	if strings.Contains(out, "`") { // where names are quoted by it, " quotes texts
		out = doubleQuoted.ReplaceAllString(out, `"?"`)
	}
	return number.ReplaceAllString(out, "${1}?")
}
