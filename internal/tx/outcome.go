package tx

import (
	"errors"
	"reflect"
	"strings"
)

// Outcome is what is known of the end of a transaction, or of a statement that commits by itself.
type Outcome uint8

const (
	// RolledBack says that nothing of it is in the database.
	RolledBack Outcome = iota + 1
	// Committed says that all of it is.
	Committed
	// Unknown says that COMMIT was sent, or may have been, and no answer came back.
	Unknown
)

// String gives the outcome in words.
func (o Outcome) String() string {
	switch o {
	case RolledBack:
		return "rolled back"
	case Committed:
		return "committed"
	case Unknown:
		return "unknown"
	}
	return "no outcome"
}

// OutcomeOf tells the outcome by the error that COMMIT, or a statement that commits by itself, came back
// with. Only two kinds of errors are certain: those that the database itself reports as the reason why it
// did not commit, and those that the driver promises to have met before it sent anything. Of all others,
// such as a lost connection or an ended context, nobody knows.
//
// driver.ErrBadConn ought to be of the second kind, but there are drivers that return it for a connection
// that was lost while they waited for the answer.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Committed
	}
	var unsent interface{ SafeToRetry() bool } // pgx
	if errors.As(err, &unsent) && unsent.SafeToRetry() {
		return RolledBack
	}
	var state interface{ SQLState() string } // drivers of PostgreSQL
	if errors.As(err, &state) {
		return ofState(state.SQLState())
	}
	if number, ok := field(err, "Number", reflect.Uint16); ok { // *mysql.MySQLError
		return ofNumber(number)
	}
	var code interface{ Code() int } // drivers of SQLite in Go
	if errors.As(err, &code) {
		return ofCode(int64(code.Code()))
	}
	if number, ok := field(err, "ExtendedCode", reflect.Int); ok { // sqlite3.Error, through C
		return ofCode(number)
	}
	for _, text := range rolledBackTexts {
		if strings.Contains(err.Error(), text) {
			return RolledBack
		}
	}
	return Unknown
}

// rolledBackTexts are the errors of drivers that have no type: COMMIT was answered by ROLLBACK, as the
// transaction had failed before.
var rolledBackTexts = []string{ //nolint:gochecknoglobals // a table
	"commit unexpectedly resulted in rollback",             // pgx
	"Could not complete operation in a failed transaction", // lib/pq
}

// ofState judges an SQLSTATE. A COMMIT fails with any class, since a deferred trigger may raise what it
// wants. Uncertain is what says that the session or the server ends: PostgreSQL may have committed before.
func ofState(state string) Outcome {
	for _, class := range []string{
		"08",    // connection exception; 08007 is "transaction resolution unknown"
		"40003", // statement completion unknown
		"53",    // insufficient resources, which may be a PANIC while the log is written
		"57P",   // shutdown, crash
		"58",    // system error, as 53
		"XX",    // internal error, as 53
	} {
		if strings.HasPrefix(state, class) {
			return Unknown
		}
	}
	return RolledBack
}

// ofNumber judges an error number of MySQL and MariaDB.
func ofNumber(number int64) Outcome {
	switch number {
	case 1053, // server shutdown in progress
		1158, 1159, 1160, 1161, // network errors, as the server saw them
		1180,       // error during commit
		1317,       // interrupted, perhaps behind the commit
		1927, 1184, // connection killed, aborted
		3024: // maximal execution time
		return Unknown
	}
	return RolledBack
}

// ofCode judges a result code of SQLite, between which and the caller nothing lies. Only after an error of
// the disk (10) it is not said what is on it.
func ofCode(code int64) Outcome {
	if code&0xff == 10 {
		return Unknown
	}
	return RolledBack
}

// field gives a number that an error has in a field and not by a method. This package must not import
// drivers.
func field(err error, name string, kind reflect.Kind) (number int64, ok bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.ValueOf(err)
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			continue
		}
		switch f := v.FieldByName(name); {
		case !f.IsValid() || f.Kind() != kind:
		case f.CanUint():
			return int64(f.Uint()), true
		case f.CanInt():
			return f.Int(), true
		}
	}
	return 0, false
}
