package sqldriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/gormtrail/audit/internal/tx"
)

// conn is a connection whose transactions are seen. Where the driver lacks an optional interface, it does
// what database/sql does without it.
type conn struct {
	inner   driver.Conn
	own     *own
	session *tx.Session
}

// A connection runs statements without preparing them only if the driver's does, in the same way:
// database/sql looks at its arguments otherwise.
type (
	fullConn struct {
		*conn
		execer
		queryer
	}
	execConn struct {
		*conn
		execer
	}
	queryConn struct {
		*conn
		queryer
	}
)

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.ExecerContext      = (*fullConn)(nil)
	_ driver.QueryerContext     = (*fullConn)(nil)
)

// Unwrap gives the driver's own connection.
func (c *conn) Unwrap() driver.Conn { return c.inner }

// Close closes the connection, which rolls back what is open.
func (c *conn) Close() error {
	c.session.Close()
	return errors.Join(c.own.close(), c.inner.Close())
}

// Ping checks the connection, if the driver can.
func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.inner.(driver.Pinger); ok {
		return p.Ping(ctx) //nolint:wrapcheck // the driver's own
	}
	return nil
}

// ResetSession prepares the connection for its next user, if the driver can.
func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.inner.(driver.SessionResetter); ok {
		return r.ResetSession(ctx) //nolint:wrapcheck // the driver's own
	}
	return nil
}

// IsValid reports whether the connection may be used again, as far as the driver says.
func (c *conn) IsValid() bool {
	if v, ok := c.inner.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// CheckNamedValue is that of the driver, or leaves the value to database/sql.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.inner.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v) //nolint:wrapcheck // the driver's own
	}
	return driver.ErrSkip
}

// Begin begins a transaction.
func (c *conn) Begin() (driver.Tx, error) {
	return c.begun(c.inner.Begin()) //nolint:staticcheck // the interface has it
}

// BeginTx begins a transaction.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.session.Seen(ctx)
	if b, ok := c.inner.(driver.ConnBeginTx); ok {
		return c.begun(b.BeginTx(ctx, opts))
	}
	if opts.Isolation != driver.IsolationLevel(sql.LevelDefault) {
		return nil, errors.New("sql: driver does not support non-default isolation level")
	}
	if opts.ReadOnly {
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	t, err := c.begun(c.inner.Begin()) //nolint:staticcheck // it has nothing else
	if err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), t.Rollback())
	}
	return t, err
}

func (c *conn) begun(t driver.Tx, err error) (driver.Tx, error) {
	if err != nil {
		return nil, err
	}
	c.session.Begin()
	return &transaction{t, c.session}, nil
}

// transaction is one begun by the driver's own call.
type transaction struct {
	inner   driver.Tx
	session *tx.Session
}

// Commit commits.
func (t *transaction) Commit() error { return t.session.Commit(t.commit, t.inner.Rollback) }

// commit commits. For database/sql the transaction is over whatever comes of it, and the connection goes back to
// the pool: not all drivers of SQLite roll back what COMMIT has left open.
func (t *transaction) commit() error {
	err := t.inner.Commit()
	if tx.StaysOpen(err) {
		_ = t.inner.Rollback() // fails if the driver has done it
	}
	return err //nolint:wrapcheck // the driver's own
}

// Rollback rolls back; database/sql calls it also when a context ends.
func (t *transaction) Rollback() error { return t.session.Rollback(t.inner.Rollback) }

// Prepare prepares a statement.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	s, err := c.inner.Prepare(query)
	if err != nil {
		return nil, err //nolint:wrapcheck // the driver's own
	}
	return c.statement(s, query), nil
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if query == tx.Probe && c.session.Seen(ctx) {
		return answer{}, nil
	}
	s, err := prepare(ctx, c.inner, query)
	if err != nil {
		return nil, err
	}
	return c.statement(s, query), nil
}

func prepare(ctx context.Context, c driver.Conn, query string) (driver.Stmt, error) {
	if p, ok := c.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query) //nolint:wrapcheck // the driver's own
	}
	s, err := c.Prepare(query)
	if err == nil && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), s.Close())
	}
	return s, err //nolint:wrapcheck // the driver's own
}

type execer struct{ c *conn }

// ExecContext runs a statement without preparing it.
func (e execer) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	if query == tx.Probe && e.c.session.Seen(ctx) {
		return driver.ResultNoRows, nil
	}
	err = e.c.session.Control(query, func() error {
		r, err = exec(ctx, e.c.inner, query, args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func exec(ctx context.Context, c driver.Conn, query string, args []driver.NamedValue) (driver.Result, error) {
	if x, ok := c.(driver.ExecerContext); ok {
		return x.ExecContext(ctx, query, args) //nolint:wrapcheck // the driver's own
	}
	x, ok := c.(driver.Execer) //nolint:staticcheck // it has nothing else
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	return x.Exec(query, values) //nolint:wrapcheck // the driver's own
}

type queryer struct{ c *conn }

// QueryContext runs a query without preparing it.
func (q queryer) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	err = q.c.session.Control(query, func() error {
		r, err = ran(query, func() (driver.Rows, error) { return ask(ctx, q.c.inner, query, args) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func ask(ctx context.Context, c driver.Conn, query string, args []driver.NamedValue) (driver.Rows, error) {
	if x, ok := c.(driver.QueryerContext); ok {
		return x.QueryContext(ctx, query, args) //nolint:wrapcheck // the driver's own
	}
	x, ok := c.(driver.Queryer) //nolint:staticcheck // it has nothing else
	if !ok {
		return nil, driver.ErrSkip
	}
	values, err := unnamed(ctx, args)
	if err != nil {
		return nil, err
	}
	return x.Query(query, values) //nolint:wrapcheck // the driver's own
}

// unnamed gives the arguments for a driver that knows no context and no names, as database/sql does.
func unnamed(ctx context.Context, args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = a.Value
	}
	return values, ctx.Err()
}
