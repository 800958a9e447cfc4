// Package sqlstore keeps audit records in a table of the application's own database, through GORM:
// SQLite, PostgreSQL, MySQL and MariaDB. It is the default of the audit module: no other server is
// needed, and a record commits or vanishes together with the change that it describes.
//
// # Delivery
//
// WriteTx writes the records of a transaction inside that transaction, in one message where the
// database allows. Unless Config.Strict is set, an error of the store never breaks the application's
// transaction. Write is for records that come from elsewhere; it stores each log_id once.
//
// # Errors
//
// Errors of a search wrap store.ErrQuery, store.ErrNotFound or store.ErrUnavailable. An answer is
// complete or an error.
//
// # Concurrency
//
// All methods may be called concurrently. The store runs no goroutines of its own, and never holds one
// connection while it waits for another, so that it works on a pool of one.
//
// # Limits
//
// Values of filtered fields that are longer than 256 bytes are kept as their hash, and found by the
// whole value. The store uses bare statements on the connection pool: GORM callbacks, and so the audit
// plugin itself, do not see them.
package sqlstore
