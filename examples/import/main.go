// Command import reads customers from a spreadsheet that was saved as CSV. Each row is a change of its own with its own
// record, the rows that are wrong are errors of the batch, and a summary says how it went.
//
//	go run ./examples/import
package main

import (
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Customer is a row of the table that is imported into.
type Customer struct {
	Code  string `gorm:"primaryKey"`
	Name  string
	Phone string
}

//go:embed customers.csv
var customers string

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "import:", err)
		os.Exit(1)
	}
}

// run imports the file into a database in memory, and prints what the trail says about it.
func run(ctx context.Context, w io.Writer) error {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	if err := errors.Join(db.AutoMigrate(&Customer{}), db.Use(audit.Plugin), audit.Register(&Customer{})); err != nil {
		return err
	}
	ctx = audit.WithActor(ctx, audit.Actor{ID: "7", Username: "jane"})
	id, err := Import(db.WithContext(ctx), "customers.csv", strings.NewReader(customers))
	if err != nil {
		return err
	}
	trail, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		return err
	}
	page, err := trail.Search(ctx, store.Query{Ascending: true, Filters: []store.Filter{{Field: store.FieldBatchID, Values: []string{id}}}})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		if r.BatchSummary {
			fmt.Fprintf(w, "%s by %s: %d customers, %d errors\n", r.BatchAction, r.Username, r.TotalProcessed, r.ErrorCount)
			for _, e := range r.Errors {
				fmt.Fprintf(w, "  %s\n", e)
			}
			continue
		}
		fmt.Fprintf(w, "%s %s %s: %s\n", r.Action, r.ObjectType, r.ObjectID, strings.Join(r.ChangedFields, ", "))
	}
	return nil
}

// Import adds and changes customers by the rows of a file, code, name and phone behind a heading, and gives the batch_id.
// A row that is wrong is an error of the batch, and the others are imported nevertheless.
func Import(db *gorm.DB, name string, file io.Reader) (batchID string, err error) {
	options := audit.BatchOptions{Action: audit.ActionImport, Model: &Customer{}, Extra: audit.Fields{"import_source": name}}
	err = audit.RunBatch(db, options, func(ctx context.Context, batch *audit.Batch) error {
		batchID = batch.ID()
		rows := csv.NewReader(file)
		if _, err := rows.Read(); err != nil {
			return fmt.Errorf("heading: %w", err)
		}
		for line := 2; ; line++ {
			row, err := rows.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = importRow(db.WithContext(ctx), row)
			}
			if err != nil {
				batch.AddError(fmt.Errorf("line %d: %w", line, err))
			}
		}
	})
	return batchID, err
}

func importRow(db *gorm.DB, row []string) error {
	c := Customer{Code: strings.TrimSpace(row[0]), Name: row[1], Phone: row[2]}
	if c.Code == "" {
		return errors.New("the code is missing")
	}
	return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&c).Error
}
