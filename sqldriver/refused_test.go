package sqldriver_test

import (
	"path/filepath"
	"testing"
)

// For database/sql a transaction is over when Commit has failed, and its connection goes back to the pool. The
// driver of SQLite leaves the transaction open there; a wrapped one does not.
func TestCommit_refusedBySQLite_rollsBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	plain, wrapped := pools(t, "sqlite", filepath.Join(t.TempDir(), "t.db")+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)")
	plain.SetMaxOpenConns(1)
	wrapped.SetMaxOpenConns(1)
	for _, query := range []string{
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED)",
	} {
		if _, err := wrapped.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	for _, db := range []struct {
		name  string
		stays bool
	}{{"wrapped", false}, {"alone", true}} {
		pool := wrapped
		if db.stays {
			pool = plain
		}
		tx, err := pool.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO children (id, parent) VALUES (1, 7)"); err != nil {
			t.Fatal(err)
		}
		if tx.Commit() == nil {
			t.Fatal("no error")
		}
		var n int
		if err := pool.QueryRowContext(ctx, "SELECT count(*) FROM children").Scan(&n); err != nil {
			t.Fatal(err)
		}
		_, err = pool.ExecContext(ctx, "ROLLBACK")
		if stays := err == nil; stays != db.stays || stays != (n == 1) {
			t.Errorf("%s: %d rows, and ROLLBACK gives %v", db.name, n, err)
		}
	}
}
