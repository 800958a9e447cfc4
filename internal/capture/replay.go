package capture

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"
)

// replay gives the columns of the caller back as a real *sql.Rows, after we have read more than it
// asked for. It implements driver.Connector, driver.Conn, driver.QueryerContext and driver.Rows in one,
// since it serves one query.
type replay struct {
	columns []string
	types   []*sql.ColumnType // nil if the caller knows the types from its model
	rows    [][]any
	next    int
}

// open gives the rows. The pool behind them is closed at once, which leaves open rows readable.
func (r *replay) open(ctx context.Context) (*sql.Rows, error) {
	db := sql.OpenDB(r)
	defer db.Close()                                       //nolint:errcheck // our own connector, which cannot fail
	return db.QueryContext(context.WithoutCancel(ctx), "") // the statement has succeeded already
}

// Connect implements driver.Connector.
func (r *replay) Connect(context.Context) (driver.Conn, error) { return r, nil }

// Driver implements driver.Connector.
func (r *replay) Driver() driver.Driver { return r }

// Open implements driver.Driver.
func (r *replay) Open(string) (driver.Conn, error) { return r, nil }

// Prepare implements driver.Conn.
func (r *replay) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }

// Begin implements driver.Conn.
func (r *replay) Begin() (driver.Tx, error) { return nil, driver.ErrSkip }

// QueryContext implements driver.QueryerContext.
func (r *replay) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return r, nil
}

// Close implements driver.Conn and driver.Rows.
func (r *replay) Close() error { return nil }

// Columns implements driver.Rows.
func (r *replay) Columns() []string { return r.columns }

// Next implements driver.Rows.
func (r *replay) Next(dest []driver.Value) error {
	if r.next >= len(r.rows) {
		return io.EOF
	}
	for i, v := range r.rows[r.next] {
		dest[i] = v
	}
	r.next++
	return nil
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *replay) ColumnTypeScanType(i int) reflect.Type {
	if r.types == nil {
		return reflect.TypeFor[any]()
	}
	return r.types[i].ScanType()
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *replay) ColumnTypeDatabaseTypeName(i int) string {
	if r.types == nil {
		return ""
	}
	return r.types[i].DatabaseTypeName()
}
