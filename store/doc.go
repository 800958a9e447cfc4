// Package store says how audit records are stored and asked for: the query, the page, the field
// names that a query may use, and the text and tokens that both stores derive from a record for
// searching. The stores themselves are in packages of their own (sqlstore, opensearch); what they
// must do is written down as a test suite in storetest.
package store
