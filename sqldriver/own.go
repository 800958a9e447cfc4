package sqldriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"
)

// own runs statements of the trail on the driver's connection, below database/sql, which holds it while a
// transaction is committed. A *sql.DB with this one connection does what database/sql does for any other:
// arguments, rows, conversions.
type own struct {
	inner driver.Conn

	mu sync.Mutex
	db *sql.DB
}

func (o *own) pool() *sql.DB {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.db == nil {
		o.db = sql.OpenDB(lender{o.inner})
		o.db.SetMaxOpenConns(1)
	}
	return o.db
}

func (o *own) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.db == nil {
		return nil
	}
	return o.db.Close() //nolint:wrapcheck // nothing is below it
}

// PrepareContext implements gorm.ConnPool.
func (o *own) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return o.pool().PrepareContext(ctx, query) //nolint:wrapcheck // the driver's own
}

// ExecContext implements gorm.ConnPool.
func (o *own) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return o.pool().ExecContext(ctx, query, args...) //nolint:wrapcheck // the driver's own
}

// QueryContext implements gorm.ConnPool.
func (o *own) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return o.pool().QueryContext(ctx, query, args...) //nolint:wrapcheck // the driver's own
}

// QueryRowContext implements gorm.ConnPool.
func (o *own) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return o.pool().QueryRowContext(ctx, query, args...)
}

// lender lends the connection, as often as it is asked for.
type lender struct{ inner driver.Conn }

// Connect gives the connection.
func (l lender) Connect(context.Context) (driver.Conn, error) {
	b := borrowed(l)
	_, exec := l.inner.(driver.ExecerContext)
	_, query := l.inner.(driver.QueryerContext)
	if exec && query {
		return direct{b}, nil
	}
	return b, nil
}

// Driver gives a driver that opens nothing.
func (l lender) Driver() driver.Driver { return l }

// Open implements driver.Driver.
func (l lender) Open(string) (driver.Conn, error) { return borrowed(l), nil }

// borrowed is the connection without what its owner decides: it is not closed, reset or judged.
type borrowed struct{ inner driver.Conn }

// direct is one that runs statements without preparing them.
type direct struct{ borrowed }

// Prepare prepares a statement.
func (b borrowed) Prepare(query string) (driver.Stmt, error) { return b.inner.Prepare(query) }

// PrepareContext prepares a statement.
func (b borrowed) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return prepare(ctx, b.inner, query)
}

// Close leaves the connection to its owner.
func (borrowed) Close() error { return nil }

// Begin is not used: the transaction is open.
func (b borrowed) Begin() (driver.Tx, error) { return b.inner.Begin() } //nolint:staticcheck // the interface has it

// CheckNamedValue is that of the driver, or leaves the value to database/sql.
func (b borrowed) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := b.inner.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v) //nolint:wrapcheck // the driver's own
	}
	return driver.ErrSkip
}

// ExecContext runs a statement.
func (d direct) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return exec(ctx, d.inner, query, args)
}

// QueryContext runs a query.
func (d direct) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return ask(ctx, d.inner, query, args)
}
