package tx

import (
	"context"
	"errors"
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
	if controls[0].verb == verbCommit && len(controls) == 1 {
		defer func() {
			if err == nil && controls[0].chain {
				u.begin()
			}
		}()
		if !u.usable() {
			return u.rollback(do, loose)
		}
		err = u.commit(do, loose, true)
		if b, ok := err.(*beforeCommitError); ok { //nolint:errorlint // made by commit, never wrapped
			return errors.Join(b.err, u.rollback(func() error {
				_, err := u.conn.ExecContext(context.WithoutCancel(u.ctx), "ROLLBACK")
				return err
			}, loose))
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

// usable reports whether the transaction can commit. PostgreSQL answers COMMIT after an error without one,
// though it rolls back, and a result does not tell. Nothing is asked if nothing is held.
func (u *Unit) usable() bool {
	if len(u.take()) == 0 {
		return true
	}
	_, err := u.conn.ExecContext(context.WithoutCancel(u.ctx), "SELECT 1")
	return err == nil
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
	if c.chain {
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
	if ddl && t.Kind == sqltext.Word && definition(first, s) {
		return []string{"COMMIT"}, false
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
		if control && len(words) < 5 && t.Kind != sqltext.Other {
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

func mayControl(word string) bool {
	switch word {
	case "BEGIN", "START", "COMMIT", "END", "ABORT", "SAVEPOINT", "RELEASE", "ROLLBACK":
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
