package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Row is what all models have.
type Row struct {
	ID uint `json:"id"`
}

func (r *Row) setID(id uint) { r.ID = id }

// Customer is deleted softly.
type Customer struct {
	Row
	Name      string         `json:"name" gorm:"not null"`
	Email     string         `json:"email" gorm:"not null;uniqueIndex"`
	Phone     string         `json:"phone" audit:"label:Phone number"`
	Note      string         `json:"note"`
	CreatedAt time.Time      `json:"-"`
	UpdatedAt time.Time      `json:"-" audit:"-"`
	DeletedAt gorm.DeletedAt `json:"-"`
}

// Order belongs to a customer.
type Order struct {
	Row
	CustomerID uint      `json:"customer_id" gorm:"not null"`
	Customer   *Customer `json:"-"`
	Item       string    `json:"item" gorm:"not null"`
	TotalCents int64     `json:"total_cents" audit:"label:Total (cents)"`
	Status     string    `json:"status" gorm:"not null"`
	CreatedAt  time.Time `json:"-"`
	UpdatedAt  time.Time `json:"-" audit:"-"`
}

// AuditRepr is the order in words in the trail.
func (o *Order) AuditRepr() string { return fmt.Sprintf("Order %d (%s)", o.ID, o.Item) }

// Employee has a salary that must not be in the trail, only that it changed.
type Employee struct {
	Row
	Name        string      `json:"name" gorm:"not null"`
	Department  string      `json:"department"`
	SalaryCents int64       `json:"salary_cents" audit:"mask"`
	Dependents  []Dependent `json:"dependents"`
}

// Dependent is a relative of an employee. What happens to it is in the history of the employee.
type Dependent struct {
	Row
	EmployeeID   uint   `json:"employee_id" gorm:"not null"`
	Name         string `json:"name" gorm:"not null"`
	Relationship string `json:"relationship"`
}

// AuditLogTarget names the model under which changes are logged.
func (Dependent) AuditLogTarget() string { return "hrm.Employee" }

// check says what is wrong with what a client sent.
func (c *Customer) check() error {
	return errors.Join(required("name", c.Name), required("email", c.Email))
}

func (o *Order) check() error {
	if o.CustomerID == 0 {
		return errors.New("customer_id is missing")
	}
	if o.Status == "" {
		o.Status = "open"
	}
	return required("item", o.Item)
}

func (e *Employee) check() error {
	return required("name", e.Name)
}

func (d *Dependent) check() error {
	return required("name", d.Name)
}

func required(name, value string) error {
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}
