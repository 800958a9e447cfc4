package capture

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// ForgetReturning makes the engine of db treat MariaDB as MySQL, which has no RETURNING.
func ForgetReturning(db *gorm.DB) {
	if e := engineOf(db); e != nil {
		if _, ok := e.dialect.(mysql); ok {
			e.dialect = mysql{}
		}
	}
}

// UseGeneric makes the engine of db capture as on a database that is not tested.
func UseGeneric(db *gorm.DB, locks, primes bool) {
	if e := engineOf(db); e != nil {
		_, savepoints := db.Dialector.(gorm.SavePointerDialectorInterface)
		e.dialect = generic{savepoints: savepoints, locks: locks, primes: primes}
	}
}

// DialectOf gives the type by which db is captured.
func DialectOf(db *gorm.DB) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", engineOf(db).dialect), "capture.")
}

// CheckPostgres gives what Check says of a server of that version.
func CheckPostgres(version string) error {
	_, s := postgresVersion(version)
	return s.check(version)
}

// CheckMySQL gives what Check says of a server of that version.
func CheckMySQL(version string) error {
	_, s := mysqlVersion(version)
	return s.check(version)
}
