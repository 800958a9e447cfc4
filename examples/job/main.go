// Command job is a nightly job: it runs without a request, says who it is, and why it changes what it changes.
//
//	go run ./examples/job
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Invoice is what the job works on.
type Invoice struct {
	ID     uint
	Due    time.Time
	Status string
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(1)
	}
}

// run has the job work on a database in memory, and prints what the trail says about it.
func run(ctx context.Context, w io.Writer) error {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	if err := errors.Join(db.AutoMigrate(&Invoice{}), db.Use(audit.Plugin), audit.Register(&Invoice{})); err != nil {
		return err
	}
	today := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for _, due := range []int{-3, -1, 4} { // written without an audit context: not recorded, but counted
		if err := db.Create(&Invoice{Due: today.AddDate(0, 0, due), Status: "open"}).Error; err != nil {
			return err
		}
	}
	if err := Remind(ctx, db, today); err != nil {
		return err
	}
	trail, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		return err
	}
	page, err := trail.Search(ctx, store.Query{Ascending: true, Filters: []store.Filter{{Field: store.FieldObjectType, Values: []string{"invoice"}}}})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		fmt.Fprintf(w, "%s %s %s by %s (%s), because %s: %s\n", r.Action, r.ObjectType, r.ObjectID, r.Username, r.ActorType, r.Reason, strings.Join(r.ChangedFields, ", "))
	}
	return nil
}

// Remind marks the invoices that are overdue. Its changes are those of the job, whoever has started it.
func Remind(ctx context.Context, db *gorm.DB, today time.Time) error {
	ctx = audit.WithActor(ctx, audit.Actor{ID: "job:remind", Username: "reminders", Type: audit.ActorSystem})
	ctx = audit.WithReason(ctx, "overdue on "+today.Format(time.DateOnly))
	return db.WithContext(ctx).Model(&Invoice{}).Where("status = ? AND due < ?", "open", today).Update("status", "reminded").Error
}
