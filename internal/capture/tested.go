package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// support is how well a version of a server is known.
type support int

const (
	unknown support = iota // captured only if that is allowed
	older                  // has all that is used, but no test runs on it: a warning
	known                  // tested, or newer than that
)

// grade gives the support of a version, by the oldest one that has what is used, and the oldest that is
// tested.
func grade(major, minor int, first, tested [2]int) support {
	switch {
	case atLeast(major, minor, tested[0], tested[1]):
		return known
	case atLeast(major, minor, first[0], first[1]):
		return older
	}
	return unknown
}

// check gives the error of a server that is not tested.
func (s support) check(version string) error {
	switch s {
	case known:
		return nil
	case older:
		return fmt.Errorf("%w: server %q has all that is used; %s", ErrOlder, version, tested)
	default:
		return fmt.Errorf("%w: server %q is not tested; %s", ErrDialect, version, tested)
	}
}

// tested is what an error says of other databases.
const tested = "tested are PostgreSQL 15 or later, SQLite 3.35 or later, MariaDB 10.11 or later and MySQL 9.7 or later; " +
	"Config.AllowUntested captures others as well as it can be"

// Check gives the reason why Install refuses db without Config.AllowUntested, nil if it does not: an error
// that wraps ErrDialect. One that wraps ErrOlder is no refusal, but worth a warning.
func Check(db *gorm.DB) error {
	_, err := knownDialect(db)
	if err != nil && !errors.Is(err, ErrOlder) {
		return err
	}
	return errors.Join(checkPool(db), err)
}

func dialectOf(db *gorm.DB, cfg Config) (dialect, error) {
	d, err := knownDialect(db)
	if err == nil || errors.Is(err, ErrOlder) {
		err = checkPool(db)
	}
	switch {
	case err == nil:
		return d, nil
	case !cfg.AllowUntested:
		return nil, err
	case d != nil:
		return d, nil
	}
	return identify(db), nil
}

// knownDialect gives the way in which the database is captured, and an error if it is not tested. Both are
// set for a version that is not.
func knownDialect(db *gorm.DB) (dialect, error) {
	switch name := db.Dialector.Name(); name {
	case "postgres":
		return postgresOf(db)
	case "mysql":
		return mysqlOf(db)
	case "sqlite":
		if !slices.Contains(db.Callback().Create().Clauses, "RETURNING") {
			return nil, fmt.Errorf("%w: SQLite without RETURNING; %s", ErrDialect, tested)
		}
		return sqlite{}, nil
	default:
		return nil, fmt.Errorf("%w: dialect %q is not tested; %s", ErrDialect, name, tested)
	}
}

func postgresOf(db *gorm.DB) (dialect, error) {
	if db.ConnPool == nil { // a handle that only shows SQL
		return postgres{}, nil
	}
	version, err := ask(db, "SELECT version()")
	if err != nil {
		return nil, err
	}
	d, s := postgresVersion(version)
	return d, s.check(version)
}

// postgresVersion says how a server is captured that calls itself version, nil if it is no PostgreSQL
// whose catalogue is known.
func postgresVersion(version string) (d dialect, s support) {
	number, is := strings.CutPrefix(version, "PostgreSQL ")
	major, _ := versionOf(number)
	if !is || major < 11 || strings.Contains(version, "-YB-") {
		return nil, unknown
	}
	return postgres{}, grade(major, 0, [2]int{12}, [2]int{15})
}

// mysqlOf asks the server what it is: the dialect's own flags are not set if it was told not to ask.
func mysqlOf(db *gorm.DB) (dialect, error) {
	if db.ConnPool == nil {
		return mysql{}, nil
	}
	version, err := ask(db, "SELECT VERSION()")
	if err != nil {
		return nil, err
	}
	d, s := mysqlVersion(version)
	return d, s.check(version)
}

func mysqlVersion(version string) (d mysql, s support) {
	major, minor := versionOf(strings.TrimPrefix(version, "5.5.5-")) // old replication prefix of MariaDB
	if strings.Contains(version, "MariaDB") {
		return mysql{returning: atLeast(major, minor, 10, 5)}, grade(major, minor, [2]int{10, 5}, [2]int{10, 11})
	}
	if strings.Contains(version, "TiDB") {
		return mysql{}, unknown
	}
	return mysql{}, grade(major, minor, [2]int{8}, [2]int{9, 7})
}

func atLeast(major, minor, wantMajor, wantMinor int) bool {
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

// versionOf gives the first two numbers of a version.
func versionOf(s string) (major, minor int) {
	at := 0
	number := func() (n int) {
		for ; at < len(s) && s[at] >= '0' && s[at] <= '9'; at++ {
			n = n*10 + int(s[at]-'0')
		}
		return n
	}
	major = number()
	if at < len(s) && s[at] == '.' {
		at++
		minor = number()
	}
	return major, minor
}

// ask gives the one text that a query of ours gives.
func ask(db *gorm.DB, query string) (s string, err error) {
	if err := db.ConnPool.QueryRowContext(contextOf(db), query).Scan(&s); err != nil {
		return "", fmt.Errorf("%w: version of the server: %w", ErrDialect, err)
	}
	return s, nil
}

// identify asks a database that is not tested what it is. One whose dialect has another name only is
// captured as what it is. In a transaction nothing is asked, since an error might end it.
func identify(db *gorm.DB) dialect {
	_, savepoints := db.Dialector.(gorm.SavePointerDialectorInterface)
	g := generic{savepoints: savepoints}
	if _, inTx := db.ConnPool.(gorm.TxCommitter); inTx || db.ConnPool == nil {
		return g
	}
	if version, err := ask(db, "SELECT sqlite_version()"); err == nil {
		if major, minor := versionOf(version); atLeast(major, minor, 3, 35) {
			return sqlite{}
		}
		g.primes = true
		return g
	}
	if version, err := ask(db, "SELECT version()"); err == nil {
		if d, _ := postgresVersion(version); d != nil {
			return d
		}
		if strings.Contains(version, "MariaDB") {
			d, _ := mysqlVersion(version)
			return d
		}
	}
	_, err := ask(db, "SELECT 1 FOR UPDATE")
	g.locks = err == nil
	return g
}
