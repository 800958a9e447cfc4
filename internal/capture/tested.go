package capture

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// The oldest servers that the tests run on.
const (
	oldestPostgres     = 15
	oldestMariaDBMajor = 10
	oldestMariaDBMinor = 11
	oldestMySQLMajor   = 9
	oldestMySQLMinor   = 7
)

// tested is what an error says of other databases.
const tested = "tested are PostgreSQL 15 or later, SQLite 3.35 or later, MariaDB 10.11 or later and MySQL 9.7 or later; " +
	"Config.AllowUntested captures others as well as it can be"

// Check gives the reason why Install refuses db without Config.AllowUntested, nil if it does not. The
// error wraps ErrDialect.
func Check(db *gorm.DB) error {
	if _, err := known(db); err != nil {
		return err
	}
	return checkPool(db)
}

func dialectOf(db *gorm.DB, cfg Config) (dialect, error) {
	d, err := known(db)
	if err == nil {
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

// known gives the way in which the database is captured, and an error if it is not tested. Both are set for
// a version that is not.
func known(db *gorm.DB) (dialect, error) {
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
	d, ok := postgresVersion(version)
	if !ok {
		return d, fmt.Errorf("%w: server %q is not tested; %s", ErrDialect, version, tested)
	}
	return d, nil
}

// postgresVersion says how a server is captured that calls itself version, nil if it is no PostgreSQL
// whose catalogue is known.
func postgresVersion(version string) (d dialect, ok bool) {
	number, is := strings.CutPrefix(version, "PostgreSQL ")
	major, _ := versionOf(number)
	if !is || major < 11 || strings.Contains(version, "-YB-") {
		return nil, false
	}
	return postgres{}, major >= oldestPostgres
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
	d, ok := mysqlVersion(version)
	if !ok {
		return d, fmt.Errorf("%w: server %q is not tested; %s", ErrDialect, version, tested)
	}
	return d, nil
}

func mysqlVersion(version string) (d mysql, ok bool) {
	major, minor := versionOf(strings.TrimPrefix(version, "5.5.5-")) // old replication prefix of MariaDB
	if strings.Contains(version, "MariaDB") {
		return mysql{returning: atLeast(major, minor, 10, 5)}, atLeast(major, minor, oldestMariaDBMajor, oldestMariaDBMinor)
	}
	return mysql{}, atLeast(major, minor, oldestMySQLMajor, oldestMySQLMinor) && !strings.Contains(version, "TiDB")
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
