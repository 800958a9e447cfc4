package sqldriver_test

import (
	"database/sql"
	"testing"
)

// BenchmarkWrap is what a statement, and a transaction of one, cost without and with the driver wrapped.
func BenchmarkWrap(b *testing.B) {
	for _, s := range servers {
		plain, wrapped := pools(b, s.name, s.dsn(b))
		for _, c := range []struct {
			name string
			db   *sql.DB
		}{{"alone", plain}, {"wrapped", wrapped}} {
			b.Run(s.name+"/statement/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := one(b, c.db.QueryRowContext(b.Context(), "SELECT 1")); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(s.name+"/transaction/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					tx, err := c.db.BeginTx(b.Context(), nil)
					if err != nil {
						b.Fatal(err)
					}
					if err := one(b, tx.QueryRowContext(b.Context(), "SELECT 1")); err != nil {
						b.Fatal(err)
					}
					if err := tx.Commit(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func one(b *testing.B, row *sql.Row) error {
	b.Helper()
	var n int
	return row.Scan(&n)
}
