package harness

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

// Customer is the row that is written.
type Customer struct {
	ID        uint   `gorm:"primaryKey"`
	Name      string `gorm:"size:200"`
	Email     string `gorm:"size:200"`
	Phone     string `gorm:"size:50"`
	City      string `gorm:"size:100;index"`
	Balance   float64
	Active    bool
	Notes     string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// city is where the customers live that are written; the others stay.
const city = "Berlin"

func newCustomer(i int) *Customer {
	return &Customer{
		Name: fmt.Sprintf("Customer %d", i), Email: fmt.Sprintf("customer.%d@example.com", i), Phone: "+49 30 123456",
		City: city, Balance: float64(i) / 4, Active: i%2 == 0, Notes: strings.Repeat("note ", 20),
	}
}

// many is the number of rows of a statement that writes many.
const many = 1000

// operation is a write.
type operation struct {
	name string
	// rows is how many rows one write changes.
	rows int
	// there says that the rows must be there before.
	there bool
	// write is the i-th write of a turn to rows, which are there if there is set; as gives the model that is
	// written for a row.
	write func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error
}

// Names of the operations.
const (
	opCreate     = "create a row"
	opUpdate     = "update two columns by key"
	opSave       = "save a row"
	opDelete     = "delete a row by key"
	opCreateMany = "create 1,000 rows in one statement"
	opUpdateMany = "update 1,000 rows by where"
	opDeleteMany = "delete 1,000 rows by where"
)

// stamp makes each written value another one.
var stamp atomic.Int64 //nolint:gochecknoglobals // a counter

func change(db *gorm.DB) error {
	n := stamp.Add(1)
	return db.Updates(map[string]any{"name": fmt.Sprintf("Changed %d", n), "balance": float64(n) + 0.5}).Error
}

var operations = []operation{ //nolint:gochecknoglobals // a table
	{opCreate, 1, false, func(db *gorm.DB, as func(*Customer) any, _ []Customer, i int) error {
		return db.Create(as(newCustomer(i))).Error
	}},
	{opUpdate, 1, true, func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error {
		return change(db.Model(as(&rows[i])))
	}},
	{opSave, 1, true, func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error {
		n := stamp.Add(1)
		rows[i].Name, rows[i].Balance = fmt.Sprintf("Saved %d", n), float64(n)+0.5
		return db.Save(as(&rows[i])).Error
	}},
	{opDelete, 1, true, func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error {
		return db.Delete(as(&rows[i])).Error
	}},
	{opCreateMany, many, false, func(db *gorm.DB, _ func(*Customer) any, _ []Customer, _ int) error {
		batch := make([]*Customer, many)
		for n := range batch {
			batch[n] = newCustomer(n)
		}
		return db.Create(batch).Error
	}},
	{opUpdateMany, many, true, func(db *gorm.DB, _ func(*Customer) any, _ []Customer, _ int) error {
		return change(db.Model(&Customer{}).Where("city = ?", city))
	}},
	{opDeleteMany, many, true, func(db *gorm.DB, _ func(*Customer) any, _ []Customer, _ int) error {
		return db.Where("city = ?", city).Delete(&Customer{}).Error
	}},
}

// populate makes the table with the rows that stay.
func populate(db *gorm.DB, resident int) error {
	if err := db.AutoMigrate(&Customer{}); err != nil {
		return err
	}
	rows := make([]*Customer, resident)
	for i := range rows {
		rows[i] = newCustomer(i)
		rows[i].City = fmt.Sprintf("City %d", i%200)
	}
	if err := db.CreateInBatches(rows, 500).Error; err != nil {
		return err
	}
	switch db.Name() {
	case "postgres":
		return db.Exec("VACUUM ANALYZE customers").Error
	case "mysql":
		return db.Exec("ANALYZE TABLE customers").Error
	}
	return db.Exec("ANALYZE").Error
}

// prepare leaves just n rows in the city, and gives them.
func prepare(db *gorm.DB, n int) ([]Customer, error) {
	if err := db.Where("city = ?", city).Delete(&Customer{}).Error; err != nil || n == 0 {
		return nil, err
	}
	rows := make([]Customer, n)
	for i := range rows {
		rows[i] = *newCustomer(i)
	}
	return rows, db.CreateInBatches(rows, 500).Error
}
