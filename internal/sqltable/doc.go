// Package sqltable has what our tables in an application's own database share: their names, how they
// are made, and how a row gets into a transaction that is not ours. The embedded store and the outbox
// are built on it.
package sqltable
