package sqlstore

import (
	"context"
	"fmt"
	"io"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// dialect is what differs between the databases.
type dialect interface {
	sqltable.Dialect
	// locate gives an expression that is above 0 if the text expression has the argument in it.
	locate(text, placeholder string) string
	// create gives the statements that make the tables.
	create(n sqltable.Names) []string
	// insert adds rows in one statement. If ignore is set, rows whose log_id is there are left out; it
	// gives how many were added.
	insert(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, ignore bool) (int64, error)
	// insertTx adds rows within the application's transaction, which stays usable if there is an error.
	insertTx(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, rows []row, cfg Config) error
	// buckets writes the query for the numbers of rows in the buckets between the edges, from 1, by the value.
	buckets(b *builder, edges []string, value string, from func())
	feed
	// deleteBatch deletes at most limit of the oldest rows below the time.
	deleteBatch(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, before int64, limit int) (int64, error)
}

func newDialect(db *gorm.DB) (dialect, error) {
	switch name := db.Dialector.Name(); name {
	case "sqlite":
		return sqlite{}, nil
	case "postgres":
		return postgres{}, nil
	case "mysql":
		return mysql{translate: func(err error) error {
			if t, ok := db.Dialector.(gorm.ErrorTranslator); ok {
				return t.Translate(err)
			}
			return err
		}}, nil
	default:
		return nil, fmt.Errorf("%w: %q, want sqlite, postgres or mysql", ErrDialect, name)
	}
}

// Bounds of one INSERT. SQLite takes 32,766 arguments, MySQL and PostgreSQL 65,535, and MySQL 16 MiB in
// the configurations that are about.
const (
	maxInsertRows  = 500
	maxInsertBytes = 4 << 20
)

// chunks cuts rows into parts that fit into one INSERT each.
func chunks(rows []row) [][]row {
	var out [][]row
	start, size := 0, 0
	for i, r := range rows {
		if i > start && (i-start >= maxInsertRows || size+len(r.body) > maxInsertBytes) {
			out = append(out, rows[start:i])
			start, size = i, 0
		}
		size += len(r.body)
	}
	if start < len(rows) {
		out = append(out, rows[start:])
	}
	return out
}

// insertParts inserts all rows or none, for databases that undo a statement that fails.
func insertParts(ctx context.Context, conn gorm.ConnPool, rows []row, strict bool, insert func(conn gorm.ConnPool, part []row) error) error {
	if len(rows) > 1 {
		// Each number of rows is a statement of its own, and GORM's cache would keep them all.
		conn = sqltable.Unprepared(conn)
	}
	parts := chunks(rows)
	if len(parts) == 1 {
		return insert(conn, rows)
	}
	return withSavepoint(ctx, conn, strict, func() error {
		for _, part := range parts {
			if err := insert(conn, part); err != nil {
				return err
			}
		}
		return nil
	})
}

// insertInto writes INSERT INTO … VALUES with arguments.
func insertInto(b *builder, n sqltable.Names, rows []row) {
	used := usedColumns(rows)
	b.write("INSERT INTO ", n.Table(""), " ")
	columnList(b, used)
	b.WriteString(" VALUES ")
	for i, r := range rows {
		if i > 0 {
			b.WriteString(",")
		}
		b.write("(", b.arg(r.logID), ",", b.arg(r.millis))
		for j, v := range r.values() {
			if v != "" {
				b.write(",", b.arg(v))
			} else if used[j] {
				b.WriteString(",NULL")
			}
		}
		b.write(",", b.arg(r.body), ")")
	}
}

// usedColumns says which of the nullable columns have a value in some row. A statement that leaves out
// the others is shorter, which is most of what SQLite takes for one row.
func usedColumns(rows []row) (used [numColumns + 1]bool) {
	for _, r := range rows {
		for i, v := range r.values() {
			used[i] = used[i] || v != ""
		}
	}
	return used
}

// columnList writes the columns of an INSERT.
func columnList(b io.StringWriter, used [numColumns + 1]bool) {
	write := func(s string) { _, _ = b.WriteString(s) } // never fails
	write("(log_id,ts")
	for i, f := range columns {
		if used[i] {
			write(",")
			write(string(f))
		}
	}
	if used[numColumns] {
		write(",attrs")
	}
	write(",body)")
}
