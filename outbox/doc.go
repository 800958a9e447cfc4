// Package outbox is a durable queue in a table of the application's own database: the records of a
// transaction are in it if and only if the transaction commits. A relay empties it into a stream.
//
// # Delivery
//
// WriteTx writes all records of a transaction in one INSERT just before COMMIT (an audit.TxSink), so that
// no crash comes between the change and its record: neither is lost, and neither is invented. A row of the
// table is the records of a transaction, one JSON object a line, as is (many records take several rows).
//
// The Queue is the other side (a relay.Queue). It claims rows: in one transaction it gives them the next
// sequences, without a gap, and moves them to a table of their own, from which they are published and
// deleted once confirmed. It takes the rows that one snapshot of the database shows, by their ids.
// Whoever changes an object that another transaction has changed has waited for that one's COMMIT, so
// whatever snapshot shows the later row shows the earlier one too, and its id is lower: the records of an
// object keep their order. A row that is committed late, with an id lower than others that were claimed
// long ago, is taken when it can be seen. No claim waits for transactions that are open.
//
// One queue is active at a time, by a lock: an advisory lock of PostgreSQL, GET_LOCK of MySQL and MariaDB,
// a locked file beside the database of SQLite. The others wait and take over when it is gone. The lock only
// saves work. What makes it safe is that a sequence means the same record for ever before it is first
// published: if a queue that has lost its lock still publishes, it publishes what its successor does, and
// the stream drops what it has, by producer name and sequence. So the producer's name belongs to the table.
// After a restore of the database from a backup, or in a copy of it, that is no longer true: see
// Outbox.Renew.
//
// # Errors
//
// New returns ErrDialect or ErrTable. WriteTx returns a *LostError; unless Config.Strict is set, the
// application's transaction goes on. Read returns what the database says, and ErrClosed.
//
// # Concurrency
//
// An Outbox may be used concurrently; Read of a Queue by one reader at a time. A Queue keeps one connection
// of the pool for itself on PostgreSQL, MySQL and MariaDB.
//
// # Limits
//
// What the database has confirmed must survive its crash: a claim that is taken back would give its
// sequences to other records. On PostgreSQL the claim asks for that itself, whatever synchronous_commit is.
// On MySQL and MariaDB keep innodb_flush_log_at_trx_commit at 1, on SQLite synchronous at FULL if the
// machine may lose its power. After a failover to a server that lags behind, see Outbox.Renew.
//
// Through a pooler that gives connections by the transaction (PgBouncer) the lock does not hold: several
// queues may then be active, and send the same twice, which the stream drops.
//
// The order within an object is that of one database server: several that write at the same time (Galera
// with more than one writer) give ids without it. On SQLite the queue writes to the application's
// database: transactions of the application that read first and write later fail there if anybody writes in
// between, unless they begin as immediate ones (_txlock=immediate).
package outbox
