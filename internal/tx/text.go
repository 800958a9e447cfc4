package tx

import (
	"strings"
)

// control is a statement that begins or ends a transaction or a savepoint.
type control struct {
	verb verb
	name string
}

type verb uint8

const (
	verbBegin verb = iota + 1
	verbCommit
	verbRollback
	verbSavepoint
	verbRollbackTo
	verbRelease
)

// Control runs do, which sends query, and follows what query does to the transaction, if it succeeded.
// GORM's prepared statements bypass ExecContext, so their callers call this.
func (t *Tx) Control(query string, do func() error) error {
	controls := parse(query)
	if len(controls) == 0 {
		return do()
	}
	if controls[0].verb == verbCommit && len(controls) == 1 {
		return t.unit.commit(do, loose, true)
	}
	if err := do(); err != nil {
		return err
	}
	for _, c := range controls {
		t.unit.follow(c)
	}
	return nil
}

func (u *Unit) follow(c control) {
	done := func() error { return nil }
	switch c.verb {
	case verbBegin:
		u.begin()
	case verbCommit:
		_ = u.commit(done, loose, false)
	case verbRollback:
		_ = u.rollback(done, loose)
	case verbSavepoint:
		u.savepoint(c.name)
	case verbRollbackTo:
		u.rollbackTo(c.name)
	case verbRelease:
		u.release(c.name)
	}
}

// parse gives the control statements in query, in order. For the usual statement it looks at one word.
func parse(query string) []control {
	var out []control
	for rest := query; rest != ""; {
		var words []string
		words, rest = statement(rest)
		if c, ok := classify(words); ok {
			out = append(out, c)
		}
	}
	return out
}

func classify(words []string) (control, bool) {
	if len(words) == 0 {
		return control{}, false
	}
	verb := strings.ToUpper(words[0])
	args := words[1:]
	if len(args) > 0 {
		switch strings.ToUpper(args[0]) {
		case "WORK", "TRANSACTION", "TRAN":
			if verb != "PREPARE" {
				args = args[1:]
			}
		}
	}
	switch verb {
	case "BEGIN", "START":
		return control{verb: verbBegin}, true
	case "COMMIT", "END":
		return control{verb: verbCommit}, true
	case "ABORT":
		return control{verb: verbRollback}, true
	case "SAVEPOINT":
		if len(args) > 0 {
			return control{verbSavepoint, args[0]}, true
		}
	case "RELEASE":
		if len(args) > 1 && strings.EqualFold(args[0], "SAVEPOINT") {
			args = args[1:]
		}
		if len(args) > 0 {
			return control{verbRelease, args[0]}, true
		}
	case "ROLLBACK":
		if len(args) < 2 || !strings.EqualFold(args[0], "TO") {
			return control{verb: verbRollback}, true
		}
		args = args[1:]
		if len(args) > 1 && strings.EqualFold(args[0], "SAVEPOINT") {
			args = args[1:]
		}
		return control{verbRollbackTo, args[0]}, true
	}
	return control{}, false
}

// statement gives the words of the first statement of query, at most 5 and only if it may be a control
// statement, and what follows its semicolon.
func statement(query string) (words []string, rest string) {
	control := true
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == ';':
			return words, query[i+1:]
		case c == '\'' || c == '"' || c == '`' || c == '[' && len(words) == 1:
			word, next := quoted(query, i)
			if control && len(words) < 5 {
				words = append(words, word)
			}
			i = next
		case c == '-' && strings.HasPrefix(query[i:], "--"):
			n := strings.IndexByte(query[i:], '\n')
			if n < 0 {
				return words, ""
			}
			i += n + 1
		case c == '/' && strings.HasPrefix(query[i:], "/*"):
			n := strings.Index(query[i+2:], "*/")
			if n < 0 {
				return words, ""
			}
			i += n + 4
		case c == '$':
			i = dollar(query, i)
		case letter(c):
			start := i
			for i < len(query) && (letter(query[i]) || query[i] >= '0' && query[i] <= '9') {
				i++
			}
			if !control || len(words) >= 5 {
				continue
			}
			words = append(words, query[start:i])
			if len(words) == 1 && !mayControl(words[0]) {
				// A trigger or function has statements of its own inside.
				if !strings.Contains(query[i:], ";") || strings.EqualFold(words[0], "CREATE") {
					return nil, ""
				}
				control, words = false, nil
			}
		default:
			i++
		}
	}
	return words, ""
}

func mayControl(word string) bool {
	switch strings.ToUpper(word) {
	case "BEGIN", "START", "COMMIT", "END", "ABORT", "SAVEPOINT", "RELEASE", "ROLLBACK":
		return true
	}
	return false
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quoted gives the text of the quoted word that begins at i, and where it ends. Doubled quotes are part
// of it.
func quoted(query string, i int) (word string, next int) {
	end := query[i]
	if end == '[' {
		end = ']'
	}
	var b strings.Builder
	for j := i + 1; j < len(query); j++ {
		if query[j] != end {
			b.WriteByte(query[j])
			continue
		}
		if j+1 < len(query) && query[j+1] == end {
			b.WriteByte(end)
			j++
			continue
		}
		return b.String(), j + 1
	}
	return b.String(), len(query)
}

// dollar gives where the dollar-quoted text that begins at i ends, or i+1 if there is none ($1).
func dollar(query string, i int) int {
	j := i + 1
	for j < len(query) && (letter(query[j]) || j > i+1 && query[j] >= '0' && query[j] <= '9') {
		j++
	}
	if j >= len(query) || query[j] != '$' {
		return i + 1
	}
	tag := query[i : j+1]
	n := strings.Index(query[j+1:], tag)
	if n < 0 {
		return len(query)
	}
	return j + 1 + n + len(tag)
}
