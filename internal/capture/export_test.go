package capture

import "gorm.io/gorm"

// ForgetReturning makes the engine of db treat MariaDB as MySQL, which has no RETURNING.
func ForgetReturning(db *gorm.DB) {
	if e := engineOf(db); e != nil {
		if _, ok := e.dialect.(mysql); ok {
			e.dialect = mysql{}
		}
	}
}

// SupportsMySQL reports whether a server of that version is captured.
func SupportsMySQL(version string) bool {
	_, ok := mysqlVersion(version)
	return ok
}
