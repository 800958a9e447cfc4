package capture

// dialect is what differs between databases. Each has a file of its own.
type dialect interface {
	// describe asks the catalogue for the table of w, named as in SQL. It must not break a transaction;
	// a table that does not exist has no columns.
	describe(w *write, name string) (*table, error)
	// needsTx reports whether w takes several statements, which must be in one transaction.
	needsTx(w *write) bool
	// insert, update and remove run the statement and collect its changes. errUnread, before anything
	// was sent, says that it must run as it is.
	insert(w *write) (*outcome, error)
	update(w *write) (*outcome, error)
	remove(w *write) (*outcome, error)
	traits() traits
	// retry reports whether err may come from what was added to the statement, which then failed
	// without an effect, and whether the transaction is still usable after it.
	retry(err error) (ours, usable bool)
}

// traits are small differences between databases.
type traits struct {
	// fragile says that any error ends the transaction.
	fragile bool
	// anyKey says that an upsert acts on every unique key, whatever it names, and that DO NOTHING is an
	// update that changes nothing, whose RETURNING gives the existing rows as well.
	anyKey bool
	// lazy says that a query runs when its first row is asked for.
	lazy bool
	// ddl says that a changed definition commits the transaction.
	ddl bool
	// doubtful says that a savepoint is set in front of each statement, since nothing is sure.
	doubtful bool
	// lost says whether an error means that the transaction was rolled back.
	lost func(err error) bool
}
