package sqldriver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/gormtrail/audit/internal/tx"
)

// stmt is a prepared statement whose text is known.
type stmt struct {
	driver.Stmt
	c     *conn
	query string
}

// convertingStmt is one of a driver that converts by column.
type convertingStmt struct {
	*stmt
	by driver.ColumnConverter //nolint:staticcheck // drivers still have it
}

// ColumnConverter is that of the driver's statement.
func (s *convertingStmt) ColumnConverter(i int) driver.ValueConverter { return s.by.ColumnConverter(i) }

var (
	_ driver.StmtExecContext   = (*stmt)(nil)
	_ driver.StmtQueryContext  = (*stmt)(nil)
	_ driver.NamedValueChecker = (*stmt)(nil)
)

func (c *conn) statement(s driver.Stmt, query string) driver.Stmt {
	w := &stmt{s, c, query}
	if cc, ok := s.(driver.ColumnConverter); ok { //nolint:staticcheck // drivers still have it
		return &convertingStmt{w, cc}
	}
	return w
}

// CheckNamedValue is that of the statement, else that of the connection, as database/sql chooses.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v) //nolint:wrapcheck // the driver's own
	}
	return s.c.CheckNamedValue(v)
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (r driver.Result, err error) {
	err = s.c.session.Control(s.query, func() error {
		if x, ok := s.Stmt.(driver.StmtExecContext); ok {
			r, err = x.ExecContext(ctx, args)
			return err
		}
		values, err := unnamed(ctx, args)
		if err != nil {
			return err
		}
		r, err = s.Stmt.Exec(values) //nolint:staticcheck // it has nothing else
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// QueryContext runs the statement.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (r driver.Rows, err error) {
	err = s.c.session.Control(s.query, func() error {
		r, err = ran(s.query, func() (driver.Rows, error) {
			if x, ok := s.Stmt.(driver.StmtQueryContext); ok {
				return x.QueryContext(ctx, args)
			}
			values, err := unnamed(ctx, args)
			if err != nil {
				return nil, err
			}
			return s.Stmt.Query(values) //nolint:staticcheck // it has nothing else
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// ran runs a query. One that controls the transaction has run when it comes back: some drivers of SQLite run
// it when its first row is asked for, of which there is none.
func ran(query string, ask func() (driver.Rows, error)) (driver.Rows, error) {
	rows, err := ask()
	if err != nil || !tx.ControlText(query) {
		return rows, err
	}
	if err := rows.Next(make([]driver.Value, len(rows.Columns()))); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, rows.Close())
	}
	return norows{rows}, nil
}

// norows are the rows of a text that gives none.
type norows struct{ inner driver.Rows }

// Columns gives no names, or those of the driver.
func (n norows) Columns() []string { return n.inner.Columns() }

// Close closes the rows.
func (n norows) Close() error { return n.inner.Close() }

// Next says that there is none.
func (norows) Next([]driver.Value) error { return io.EOF }

// answer is the statement of a probe.
type answer struct{}

// Close does nothing.
func (answer) Close() error { return nil }

// NumInput says that it has no arguments.
func (answer) NumInput() int { return 0 }

// Exec does nothing.
func (answer) Exec([]driver.Value) (driver.Result, error) { return driver.ResultNoRows, nil }

// Query gives nothing.
func (answer) Query([]driver.Value) (driver.Rows, error) { return nil, errors.New("audit: no query") }
