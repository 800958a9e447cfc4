// Package opensearch stores audit records in OpenSearch and finds them there. It is tested with
// OpenSearch 3.5 and 2.19.
//
// A record goes to the index of the month of its timestamp, <prefix>-2026.11, with its log_id as
// document id and the operation "create": so the same record sent twice is one document, whenever
// it arrives and whoever sends it. All indices have the alias <prefix>.
//
// # Delivery
//
// Store.Write answers for each document. Stored means that the server has synced its translog.
// Where the outcome is in doubt, the result is Transient: send the document again, it will be a
// Duplicate if it had arrived.
//
// # Errors
//
// The results have the classes of package store; see classify for what is what. Trouble of the
// server (disk full, index closed, credentials) is Environment, never Poison. A search that could
// only see a part of the records is an error that wraps store.ErrUnavailable.
//
// # Concurrency
//
// A Store may be used by many goroutines.
//
// # Rights
//
// With the security plugin, whoever calls Write needs on the indices indices:admin/create, get and
// exists, indices:data/write/bulk* and index, indices:data/read/mget* and get, and on the cluster
// indices:data/write/bulk, indices:data/read/mget and indices:admin/index_template/get; without Setup
// having been called also indices:admin/aliases. Whoever calls Search needs the action group read, and
// Setup indices:admin/index_template/put and indices:admin/mapping/put.
//
// # Limits
//
// Two records with the same log_id and timestamps in different months are two documents. Times are
// ordered and compared in milliseconds; within one, log_id decides.
package opensearch
