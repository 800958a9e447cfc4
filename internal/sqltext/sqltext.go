// Package sqltext reads the words of SQL text, as far as the capture engine must know what a statement
// does that it did not build. It knows the quotes and comments of PostgreSQL, MySQL and SQLite, not
// their grammar.
package sqltext

import (
	"slices"
	"strings"
)

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens.
const (
	Word   Kind = iota + 1 // a word or unquoted name
	Name                   // a quoted name, without its quotes
	String                 // a text constant, without its quotes
	Other                  // one byte of anything else
)

// Token is one token of a text.
type Token struct {
	Kind Kind
	Text string
}

// Is reports whether the token is the keyword, which is in upper case.
func (t Token) Is(keyword string) bool {
	return t.Kind == Word && strings.EqualFold(t.Text, keyword)
}

// Scanner gives the tokens of a text, one after the other.
type Scanner struct {
	text string
	pos  int
}

// Scan gives a scanner of text.
func Scan(text string) *Scanner { return &Scanner{text: text} }

// Rest gives what was not read yet.
func (s *Scanner) Rest() string { return s.text[s.pos:] }

// Next gives the next token, past spaces and comments; false at the end.
func (s *Scanner) Next() (Token, bool) {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			s.pos++
		case strings.HasPrefix(s.text[s.pos:], "--"):
			s.skipPast("\n", 2)
		case strings.HasPrefix(s.text[s.pos:], "/*"):
			s.skipPast("*/", 2)
		case c == '\'':
			return Token{String, s.quoted('\'')}, true
		case c == '"' || c == '`':
			return Token{Name, s.quoted(c)}, true
		case c == '$':
			if text, ok := s.dollar(); ok {
				return Token{String, text}, true
			}
			s.pos++
			return Token{Other, "$"}, true
		case letter(c):
			return Token{Word, s.word()}, true
		default:
			s.pos++
			return Token{Other, s.text[s.pos-1 : s.pos]}, true
		}
	}
	return Token{}, false
}

func (s *Scanner) skipPast(end string, from int) {
	n := strings.Index(s.text[s.pos+from:], end)
	if n < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos += from + n + len(end)
}

// word reads letters and digits.
func (s *Scanner) word() string {
	start := s.pos
	for s.pos < len(s.text) && (letter(s.text[s.pos]) || digit(s.text[s.pos])) {
		s.pos++
	}
	return s.text[start:s.pos]
}

// quoted reads up to the closing quote; a doubled quote is part of the text.
func (s *Scanner) quoted(quote byte) string {
	var b strings.Builder
	for s.pos++; s.pos < len(s.text); s.pos++ {
		c := s.text[s.pos]
		if c == quote {
			s.pos++
			if s.pos >= len(s.text) || s.text[s.pos] != quote {
				break
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// dollar reads $tag$ … $tag$; $1 is none.
func (s *Scanner) dollar() (text string, ok bool) {
	j := s.pos + 1
	for j < len(s.text) && (letter(s.text[j]) || j > s.pos+1 && digit(s.text[j])) {
		j++
	}
	if j >= len(s.text) || s.text[j] != '$' {
		return "", false
	}
	tag, start := s.text[s.pos:j+1], j+1
	n := strings.Index(s.text[start:], tag)
	if n < 0 {
		s.pos = len(s.text)
		return s.text[start:], true
	}
	s.pos = start + n + len(tag)
	return s.text[start : start+n], true
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// Write is a table that a text changes.
type Write struct {
	// Verb is INSERT, UPDATE, DELETE, REPLACE, MERGE, TRUNCATE or COPY, or for a changed definition
	// CREATE, ALTER or DROP, without a table.
	Verb string
	// Table is the table with its schema, unquoted.
	Table string
}

// readers begin statements that change no table.
var readers = []string{
	"SELECT", "SHOW", "EXPLAIN", "PRAGMA", "SET", "SAVEPOINT", "RELEASE", "VALUES", "DESCRIBE", "ANALYZE", "VACUUM",
}

// Writes gives the tables that text changes, as far as its words say so. What functions and triggers do
// is not in them.
func Writes(text string) []Write {
	s := Scan(text)
	t, ok := s.Next()
	for ok && t.Kind == Other { // (SELECT …)
		t, ok = s.Next()
	}
	if !ok || slices.ContainsFunc(readers, t.Is) && !strings.Contains(text, ";") {
		return nil
	}
	var out []Write
	var last Token
	for ; ok; last, t = t, next(s, &ok) {
		switch {
		case t.Is("CREATE") || t.Is("ALTER") || t.Is("DROP"):
			return append(out, Write{Verb: strings.ToUpper(t.Text)}) // the rest is a definition
		case t.Is("UPDATE"):
			if last.Is("FOR") || last.Is("KEY") || last.Is("DO") || last.Is("ON") {
				continue
			}
			out = s.table(out, t, "", "ONLY", "OR", "IGNORE", "REPLACE", "ROLLBACK", "ABORT", "FAIL", "LOW_PRIORITY")
		case t.Is("DELETE"):
			if !last.Is("ON") {
				out = s.table(out, t, "FROM", "ONLY")
			}
		case t.Is("INSERT") || t.Is("REPLACE") || t.Is("MERGE"):
			out = s.table(out, t, "INTO", "ONLY")
		case t.Is("TRUNCATE"):
			out = s.table(out, t, "", "TABLE", "ONLY")
		case t.Is("COPY"):
			out = s.table(out, t, "")
		}
	}
	return out
}

func next(s *Scanner, ok *bool) (t Token) {
	t, *ok = s.Next()
	return t
}

// table adds the table that follows: after the word into, if there is one, and any of skip.
func (s *Scanner) table(out []Write, verb Token, into string, skip ...string) []Write {
	ahead := *s
	t, ok := ahead.Next()
	for n := 0; into != "" && ok && !t.Is(into) && n < 4; n++ { // INSERT OR IGNORE INTO, DELETE t FROM t
		t, ok = ahead.Next()
	}
	if into != "" {
		if !t.Is(into) {
			return out
		}
		t, ok = ahead.Next()
	}
	for ok && slices.ContainsFunc(skip, t.Is) {
		t, ok = ahead.Next()
	}
	if !ok || t.Kind != Word && t.Kind != Name || t.Is("SET") { // MERGE … UPDATE SET
		return out
	}
	name := t.Text
	for {
		dot := ahead
		if p, ok := dot.Next(); !ok || p.Text != "." {
			break
		}
		part, ok := dot.Next()
		if !ok {
			break
		}
		name += "." + part.Text
		ahead = dot
	}
	*s = ahead
	return append(out, Write{strings.ToUpper(verb.Text), name})
}
