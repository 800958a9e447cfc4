// Package sqldriver lets an audit trail see every transaction of a database at its driver, for
// applications that open the *sql.DB themselves:
//
//	pool := sql.OpenDB(sqldriver.Wrap(connector))
//	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{})
//	err = db.Use(audit.Plugin)
//
// Without it the trail watches GORM: what is begun, committed or rolled back beside GORM, on the *sql.DB
// itself, is not seen, and changes in such a transaction are marked. With it a transaction is seen whoever
// began it and however it ends: a *sql.Tx that GORM was given, BEGIN as text on a *sql.Conn, COMMIT and
// ROLLBACK TO in prepared statements or as queries, the rollback when a context ends.
//
// # Delivery
//
// The records of a transaction that is ended beside GORM are made, and written by a transactional sink,
// inside the driver's COMMIT. A sink or hook that runs behind COMMIT then still occupies the connection: it
// must not wait for another one of a pool that has only one.
//
// # Errors
//
// Errors are those of the wrapped driver. If a transactional sink with the policy Strict refuses, the
// transaction is rolled back and Commit gives its error.
//
// # Concurrency
//
// As database/sql asks of a driver.
//
// # Limits
//
// Code that asserts the type of the driver's connection in sql.Conn.Raw has to Unwrap it first. What is done
// on the unwrapped connection is not seen. A transaction that is left open as text on a connection of the
// pool, and not on a *sql.Conn, is not told from autocommit.
package sqldriver
