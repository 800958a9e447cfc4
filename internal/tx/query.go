package tx

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// query runs a query and follows what its text does to the transaction.
func (u *Unit) query(ctx context.Context, conn gorm.ConnPool, query string, args []any) (rows *sql.Rows, err error) {
	err = u.control(query, func() error {
		if rows, err = conn.QueryContext(ctx, query, args...); err != nil {
			return err
		}
		return u.Ran(query, rows)
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Ran makes sure that a text which controls the transaction has run when its query comes back, and gives
// its error. Such a text gives no rows that could be lost by it.
func (u *Unit) Ran(query string, rows *sql.Rows) error {
	if !u.Lazy(query) || rows.Next() {
		return nil
	}
	return rows.Err()
}

// Lazy reports whether query controls the transaction and would run only when its rows are asked for.
func (u *Unit) Lazy(query string) bool { return u.hooks.LazyQueries && controls(query) }

// queryRow runs a query for one row and follows what its text does to the transaction.
func (u *Unit) queryRow(ctx context.Context, conn gorm.ConnPool, query string, args []any) (row *sql.Row) {
	lazy := u.Lazy(query)
	err := u.control(query, func() error {
		if lazy {
			_, err := conn.ExecContext(ctx, query, args...)
			return err
		}
		row = conn.QueryRowContext(ctx, query, args...)
		return row.Err()
	})
	switch {
	case row != nil:
	case lazy && err == nil:
		row = conn.QueryRowContext(ctx, "SELECT 1 FROM (SELECT 1 AS a) AS b WHERE 1 = 0") // as the text: no row
	case lazy:
		row = conn.QueryRowContext(ctx, query, args...) // fails again
	default: // the step before COMMIT failed; only database/sql can make a row with an error
		ended, cancel := context.WithCancel(ctx)
		cancel()
		row = conn.QueryRowContext(ended, query, args...)
	}
	return row
}
