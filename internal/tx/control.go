package tx

import (
	"strings"

	"github.com/gormtrail/audit/internal/sqltext"
)

// control is a statement that begins or ends a transaction or a savepoint.
type control struct {
	verb  verb
	name  string
	chain bool // the end begins the next transaction
}

type verb uint8

const (
	verbBegin verb = iota + 1
	verbCommit
	verbRollback
	verbSavepoint
	verbRollbackTo
	verbRelease
	verbPrepare       // PREPARE TRANSACTION, XA PREPARE: somebody else ends it
	verbXAEnd         // XA END: nothing more can be sent in it
	verbAutocommitOff // SET autocommit = 0: each statement begins what only an end ends
	verbAutocommitOn
	verbDefine // a definition, which commits on some databases
)

// Control runs do, which sends query, and follows what query does to the transaction, if it succeeded.
// GORM's prepared statements bypass ExecContext, so their callers call this.
func (t *Tx) Control(query string, do func() error) error { return t.unit.control(query, do) }

func (u *Unit) control(query string, do func() error) (err error) {
	if u.session != nil { // the driver sees the text
		return do()
	}
	controls := parse(query, u.hooks.CommitsDDL)
	if len(controls) == 0 {
		return u.Check(do())
	}
	if len(controls) == 1 && u.Open() && implied(controls[0], u.hooks.CommitsDDL, u.isManual()) {
		c := controls[0]
		c.chain = c.chain || c.verb != verbAutocommitOn && u.isManual()
		err := u.endText(c, query, do)
		if err == nil && c.verb == verbAutocommitOn {
			u.follow(c)
		}
		return err
	}
	if err := do(); err != nil {
		return u.Check(err)
	}
	for _, c := range controls {
		u.follow(c)
	}
	return nil
}

// Check looks whether err ended the transaction, and gives err.
func (u *Unit) Check(err error) error {
	if err != nil && u.hooks.Lost != nil && u.hooks.Lost(err) {
		_ = u.rollback(func() error { return nil }, loose)
	}
	return err
}

func (u *Unit) follow(c control) {
	done := func() error { return nil }
	manual := u.isManual()
	switch c.verb {
	case verbBegin:
		if u.hooks.CommitsDDL {
			_ = u.commit(done, loose, false)
		}
		u.begin()
	case verbDefine:
		_ = u.commit(done, loose, false)
	case verbPrepare:
		u.settle(Unknown, errPrepared, u.Items(), loose)
	case verbAutocommitOff, verbAutocommitOn:
		if c.verb == verbAutocommitOn && manual {
			_ = u.commit(done, loose, false)
		}
		u.setManual(c.verb == verbAutocommitOff)
		if c.verb == verbAutocommitOff {
			u.begin()
		}
		return
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
	default: // XA END: the end comes behind it
	}
	if c.chain || manual && !u.Open() {
		u.begin()
	}
}

// parse gives the control statements in query, in order. Of the usual statement it reads one word.
func parse(query string, ddl bool) []control {
	s := sqltext.Scan(query)
	var out []control
	for {
		words, more := statement(s, ddl)
		if c, ok := classify(words); ok {
			out = append(out, c)
		}
		if !more {
			return out
		}
	}
}

// LeavesOpen reports whether a transaction is open behind query, which was sent outside of one. savepoints says
// that a savepoint begins one, as on SQLite.
func LeavesOpen(query string, savepoints bool) bool {
	first := "" // the savepoint that began the transaction
	open, manual := false, false
	for _, c := range parse(query, false) {
		switch c.verb {
		case verbBegin:
			open = true
		case verbAutocommitOff, verbAutocommitOn:
			manual = c.verb == verbAutocommitOff
			open = open && manual
		case verbCommit, verbRollback, verbPrepare:
			open, first = c.chain, ""
		case verbSavepoint:
			if savepoints && !open {
				open, first = true, c.name
			}
		case verbRelease:
			if first != "" && strings.EqualFold(c.name, first) {
				open, first = false, ""
			}
		default:
		}
	}
	return open || manual
}

// LeavesAutocommitOff reports whether query switches autocommit off, and not on again.
func LeavesAutocommitOff(query string) bool {
	off := false
	for _, c := range parse(query, false) {
		switch c.verb {
		case verbAutocommitOff, verbAutocommitOn:
			off = c.verb == verbAutocommitOff
		default:
		}
	}
	return off
}

// controls reports whether query is one statement, and that a control statement.
func controls(query string) bool {
	words, more := statement(sqltext.Scan(query), false)
	if _, ok := classify(words); !ok {
		return false
	}
	if more { // a semicolon may end the text
		i := strings.IndexByte(query, ';')
		return strings.TrimSpace(query[i+1:]) == ""
	}
	return true
}

// statement gives the first words of a statement, if it may be a control statement, and whether more
// statements may follow it.
func statement(s *sqltext.Scanner, ddl bool) (words []string, more bool) {
	t, ok := s.Next()
	if !ok {
		return nil, false
	}
	if t.Text == ";" {
		return nil, true
	}
	first := strings.ToUpper(t.Text)
	control := t.Kind == sqltext.Word && mayControl(first)
	if control && first == "SET" {
		return autocommit(s)
	}
	if ddl && t.Kind == sqltext.Word && definition(first, s) {
		return []string{"DEFINE"}, false
	}
	if !control {
		// Triggers and functions have statements of their own inside.
		if first == "CREATE" || !strings.Contains(s.Rest(), ";") {
			return nil, false
		}
	} else {
		words = append(words, first)
	}
	for {
		t, ok = s.Next()
		if !ok || t.Kind == sqltext.Other && t.Text == ";" {
			return words, ok
		}
		if control && len(words) < 7 && t.Kind != sqltext.Other {
			words = append(words, t.Text)
		}
	}
}

// definition reports whether a statement with this first word changes a definition.
func definition(first string, s *sqltext.Scanner) bool {
	switch first {
	case "ALTER", "RENAME", "TRUNCATE", "GRANT", "REVOKE":
		return true
	case "CREATE", "DROP":
		next, _ := s.Next()
		return !next.Is("TEMPORARY")
	}
	return false
}

// autocommit reads SET up to the end of its statement, as the words AUTOCOMMIT and ON or OFF if it sets that of
// the session. A value that only the server knows is taken for OFF, so that nothing is called committed that
// may not be.
func autocommit(s *sqltext.Scanner) (words []string, more bool) {
	global, assigned, value, known, ats := false, false, false, false, 0
	for {
		t, ok := s.Next()
		switch {
		case !ok || t.Kind == sqltext.Other && t.Text == ";":
			return words, ok
		case t.Kind == sqltext.Other && t.Text == ",":
			global, assigned, value, known = false, false, false, false
		case t.Kind == sqltext.Other && (t.Text == "=" || t.Text == ":"):
			assigned = true
		case assigned:
			if value && !known {
				known = true
				switch strings.ToUpper(t.Text) {
				case "1", "ON", "TRUE", "DEFAULT":
					words = []string{"AUTOCOMMIT", "ON"}
				default:
					words = []string{"AUTOCOMMIT", "OFF"}
				}
			}
		case t.Is("GLOBAL") || t.Is("PERSIST") || t.Is("PERSIST_ONLY"):
			global = true
		case t.Kind != sqltext.Other && strings.EqualFold(t.Text, "autocommit"):
			value = !global && ats != 1 // @autocommit is a variable of the user's
		}
		if t.Kind == sqltext.Other && t.Text == "@" {
			ats++
		} else {
			ats = 0
		}
	}
}

func mayControl(word string) bool {
	switch word {
	case "BEGIN", "START", "COMMIT", "END", "ABORT", "SAVEPOINT", "RELEASE", "ROLLBACK", "PREPARE", "XA", "SET":
		return true
	}
	return false
}

func classify(words []string) (control, bool) {
	if len(words) == 0 {
		return control{}, false
	}
	verb, args := words[0], words[1:]
	if len(args) > 0 {
		switch strings.ToUpper(args[0]) {
		case "WORK", "TRANSACTION", "TRAN":
			args = args[1:]
		}
	}
	if len(args) > 1 && verb == "ROLLBACK" && strings.EqualFold(args[0], "TO") {
		verb, args = "ROLLBACK TO", args[1:]
	}
	if len(args) > 1 && strings.EqualFold(args[0], "SAVEPOINT") {
		args = args[1:]
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	chain := len(args) > 1 && strings.EqualFold(name, "AND") && strings.EqualFold(args[1], "CHAIN")
	switch verb {
	case "XA":
		return classifyXA(args)
	case "DEFINE":
		return control{verb: verbDefine}, true
	case "AUTOCOMMIT":
		if name == "ON" {
			return control{verb: verbAutocommitOn}, true
		}
		return control{verb: verbAutocommitOff}, true
	case "PREPARE": // and not a statement, PREPARE name AS …
		return control{verb: verbPrepare}, len(words) == 3 && strings.EqualFold(words[1], "TRANSACTION")
	case "BEGIN", "START":
		return control{verb: verbBegin}, true
	case "COMMIT", "END":
		// COMMIT PREPARED ends a transaction of another session.
		return control{verb: verbCommit, chain: chain}, !strings.EqualFold(name, "PREPARED")
	case "ROLLBACK", "ABORT":
		return control{verb: verbRollback, chain: chain}, !strings.EqualFold(name, "PREPARED")
	case "ROLLBACK TO":
		return control{verb: verbRollbackTo, name: name}, true
	case "SAVEPOINT":
		return control{verb: verbSavepoint, name: name}, name != ""
	case "RELEASE":
		return control{verb: verbRelease, name: name}, name != ""
	}
	return control{}, false
}

// classifyXA reads the words behind XA. What it ends by XA COMMIT in two phases was prepared before, and is
// nothing of an open transaction.
func classifyXA(args []string) (control, bool) {
	if len(args) == 0 {
		return control{}, false
	}
	switch strings.ToUpper(args[0]) {
	case "START", "BEGIN":
		return control{verb: verbBegin}, true
	case "END":
		return control{verb: verbXAEnd}, true
	case "PREPARE":
		return control{verb: verbPrepare}, true
	case "COMMIT":
		n := len(args)
		return control{verb: verbCommit}, n > 2 && strings.EqualFold(args[n-2], "ONE") && strings.EqualFold(args[n-1], "PHASE")
	case "ROLLBACK":
		return control{verb: verbRollback}, true
	}
	return control{}, false
}

// xid gives the name of the transaction behind the two words of an XA statement, as it is written.
func xid(query string) string {
	s := sqltext.Scan(query)
	s.Next()
	s.Next()
	return strings.TrimRight(strings.TrimSpace(s.Rest()), "; \t\r\n")
}
