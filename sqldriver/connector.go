package sqldriver

import (
	"context"
	"database/sql/driver"
	"io"

	"github.com/gormtrail/audit/internal/tx"
)

// Wrap gives the connector with the transactions of its connections seen. It keeps what the driver's
// connections and statements can do: what they cannot, such as running a statement without preparing it, the
// wrapped ones cannot either. A connector that is wrapped already comes back as it is.
func Wrap(c driver.Connector) driver.Connector {
	if w, ok := c.(*connector); ok {
		return w
	}
	return &connector{c}
}

// WrapDriver gives the driver with the transactions of its connections seen, for sql.Register under a name
// of its own.
func WrapDriver(d driver.Driver) driver.Driver { return wrapped{d} }

// Unwrap gives the driver's own connection. Pass it what sql.Conn.Raw hands out; anything that is not wrapped
// comes back as it is.
func Unwrap(driverConn any) any {
	if w, ok := driverConn.(interface{ Unwrap() driver.Conn }); ok {
		return w.Unwrap()
	}
	return driverConn
}

type connector struct{ inner driver.Connector }

// Connect opens a connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // the driver's own
	}
	return newConn(inner), nil
}

// Driver gives the driver that is wrapped, as sql.DB.Driver promises.
func (c *connector) Driver() driver.Driver { return c.inner.Driver() }

// Close closes the connector, if it can be closed; sql.DB.Close calls it.
func (c *connector) Close() error {
	if closer, ok := c.inner.(io.Closer); ok {
		return closer.Close() //nolint:wrapcheck // the driver's own
	}
	return nil
}

// wrapped is a driver.
type wrapped struct{ inner driver.Driver }

var _ driver.DriverContext = wrapped{}

// Open opens a connection.
func (w wrapped) Open(name string) (driver.Conn, error) {
	inner, err := w.inner.Open(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // the driver's own
	}
	return newConn(inner), nil
}

// OpenConnector reads the name once, if the driver does so.
func (w wrapped) OpenConnector(name string) (driver.Connector, error) {
	d, ok := w.inner.(driver.DriverContext)
	if !ok {
		return &connector{named{w.inner, name}}, nil
	}
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // the driver's own
	}
	return Wrap(c), nil
}

// named is the connector of a driver that has none.
type named struct {
	driver driver.Driver
	name   string
}

// Connect opens a connection.
func (n named) Connect(context.Context) (driver.Conn, error) { return n.driver.Open(n.name) }

// Driver gives the driver.
func (n named) Driver() driver.Driver { return n.driver }

func newConn(inner driver.Conn) driver.Conn {
	own := &own{inner: inner}
	c := &conn{inner: inner, own: own, session: tx.NewSession(own)}
	_, execContext := inner.(driver.ExecerContext)
	_, exec := inner.(driver.Execer) //nolint:staticcheck // drivers still have it
	_, queryContext := inner.(driver.QueryerContext)
	_, query := inner.(driver.Queryer) //nolint:staticcheck // drivers still have it
	switch {
	case (execContext || exec) && (queryContext || query):
		return &fullConn{c, execer{c}, queryer{c}}
	case execContext || exec:
		return &execConn{c, execer{c}}
	case queryContext || query:
		return &queryConn{c, queryer{c}}
	}
	return c
}
