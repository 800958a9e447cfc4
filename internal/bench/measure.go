package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// Customer is the table that is written.
type Customer struct {
	ID        uint   `gorm:"primaryKey"`
	Name      string `gorm:"size:200"`
	Email     string `gorm:"size:200"`
	Phone     string `gorm:"size:50"`
	City      string `gorm:"size:100"`
	Balance   float64
	Active    bool
	Notes     string
	CreatedAt time.Time
	UpdatedAt time.Time
}

func newCustomer(i int) *Customer {
	return &Customer{
		Name: fmt.Sprintf("Customer %d", i), Email: fmt.Sprintf("customer.%d@example.com", i), Phone: "+49 30 123456",
		City: "Berlin", Balance: float64(i) / 4, Active: i%2 == 0, Notes: strings.Repeat("note ", 20),
	}
}

// sliceSize is the number of rows of a statement that writes many.
const sliceSize = 100

// minWrites is the least number of writes of a round, also of large ones.
const minWrites = 5

// operation is a write. write does the i-th of a round; rows are those that prepare has made.
type operation struct {
	name string
	// rows is how many rows must be there for each write, and per how many rows one write is.
	rows, size int
	write      func(db *gorm.DB, rows []Customer, i int) error
}

// operations are what is measured.
var operations = []operation{ //nolint:gochecknoglobals // a table
	{"create a row", 0, 1, func(db *gorm.DB, _ []Customer, i int) error { return db.Create(newCustomer(i)).Error }},
	{"update two columns of a row", 1, 1, func(db *gorm.DB, rows []Customer, i int) error {
		return db.Model(&rows[i]).Updates(map[string]any{"name": fmt.Sprintf("Changed %d", i), "balance": float64(i) + 0.5}).Error
	}},
	{"delete a row", 1, 1, func(db *gorm.DB, rows []Customer, i int) error { return db.Delete(&rows[i]).Error }},
	{"create 100 rows in one statement", 0, sliceSize, func(db *gorm.DB, _ []Customer, i int) error {
		batch := make([]*Customer, sliceSize)
		for n := range batch {
			batch[n] = newCustomer(i*sliceSize + n)
		}
		return db.Create(batch).Error
	}},
}

// measureDatabase measures all operations in all variants, and prints a table.
func measureDatabase(ctx context.Context, w io.Writer, d database, rounds, writes int) (err error) {
	var handles []*handle
	defer func() {
		for _, h := range handles {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	for _, v := range variants {
		h, err := openHandle(ctx, d, v)
		if err != nil {
			return err
		}
		handles = append(handles, h)
	}
	head, rule := "\n## "+d.name+"\n\n| | "+variants[0].name+" |", "|---|---|"
	for _, v := range variants[1:] {
		head, rule = head+" "+v.name+" |", rule+"---|"
	}
	if _, err := fmt.Fprintln(w, head+"\n"+rule); err != nil {
		return err
	}
	var want int64 // records of each audited handle
	for _, op := range operations {
		want += int64((rounds + 1) * max(minWrites, writes/op.size) * op.size)
		times, err := measure(ctx, handles, op, rounds, max(minWrites, writes/op.size))
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		if _, err := fmt.Fprintln(w, row(op, times)); err != nil {
			return err
		}
	}
	for _, h := range handles[1:] {
		// A write that is not recorded costs less.
		if s := h.auditor.Stats(); s.Emitted != want || s.Failed > 0 || len(s.Errors) > 0 {
			return fmt.Errorf("%s: %d records, want %d: %+v", h.variant.name, s.Emitted, want, s)
		}
	}
	return nil
}

// measure gives the time of one write, for each handle and round.
func measure(ctx context.Context, handles []*handle, op operation, rounds, writes int) ([][]time.Duration, error) {
	ctx = audit.WithActor(ctx, audit.Actor{ID: "7", Username: "john.doe", FullName: "John Doe"})
	times := make([][]time.Duration, len(handles))
	for round := -1; round < rounds; round++ { // the first one warms up
		for turn := range handles {
			n := (turn + round + 1) % len(handles)
			h := handles[n]
			rows, err := prepare(ctx, h.plain, op.rows*writes)
			if err != nil {
				return nil, err
			}
			db := h.db.WithContext(ctx)
			began := time.Now()
			for i := range writes {
				if err := op.write(db, rows, i); err != nil {
					return nil, fmt.Errorf("%s: %w", h.variant.name, err)
				}
			}
			if round >= 0 {
				times[n] = append(times[n], time.Since(began)/time.Duration(writes))
			}
		}
	}
	return times, nil
}

// prepare leaves just n rows in the table, and gives them.
func prepare(ctx context.Context, db *gorm.DB, n int) ([]Customer, error) {
	db = db.WithContext(ctx)
	if err := db.Where("1 = 1").Delete(&Customer{}).Error; err != nil {
		return nil, err
	}
	rows := make([]Customer, n)
	for i := range rows {
		rows[i] = *newCustomer(i)
	}
	if n == 0 {
		return nil, nil
	}
	return rows, db.CreateInBatches(rows, 500).Error
}

// row gives the line of the table for an operation.
func row(op operation, times [][]time.Duration) string {
	plain := slices.Sorted(slices.Values(times[0]))
	var line strings.Builder
	fmt.Fprintf(&line, "| %s | %.3f ms |", op.name, float64(plain[len(plain)/2].Microseconds())/1000)
	for _, t := range times[1:] {
		ratios := make([]float64, len(t))
		for round := range t {
			ratios[round] = float64(t[round]) / float64(times[0][round])
		}
		slices.Sort(ratios)
		n := len(ratios)
		fmt.Fprintf(&line, " %.2f (%.2f–%.2f) |", ratios[n/2], ratios[n/4], ratios[n*3/4])
	}
	return line.String()
}
