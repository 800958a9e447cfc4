package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/vcraescu/gorm-history/v2"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/bench/harness"
)

// recordable is the row as the library wants it.
type recordable struct{ harness.Customer }

func (recordable) TableName() string { return "customers" }

func (recordable) CreateHistory() history.History { return &customerHistory{} }

// customerHistory is the library's copy of a row. It has no history.Entry, whose type datetime is not known
// to PostgreSQL.
type customerHistory struct {
	ID       uint
	Version  string
	ObjectID uint `gorm:"index"`
	Action   string

	Name, Email, Phone, City string
	Balance                  float64
	Active                   bool
	Notes                    string
	CreatedAt, UpdatedAt     time.Time
}

func (h *customerHistory) SetHistoryVersion(v history.Version) { h.Version = string(v) }
func (h *customerHistory) SetHistoryAction(a history.Action)   { h.Action = string(a) }
func (h *customerHistory) SetHistoryObjectID(id any)           { h.ObjectID, _ = id.(uint) }

// historied is gorm-history on a handle.
type historied struct {
	uncounted
	last uint
}

func installHistory(db *gorm.DB) (harness.Installed, error) {
	if err := db.AutoMigrate(&customerHistory{}); err != nil {
		return nil, err
	}
	return &historied{}, db.Use(history.New())
}

// Recorded reads the copies, which have no other values than the new ones.
func (h *historied) Recorded(ctx context.Context, db *gorm.DB) (out []harness.Recorded, err error) {
	var rows []customerHistory
	if err := db.WithContext(ctx).Where("id > ?", h.last).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	for _, r := range rows {
		h.last = r.ID
		data, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		values, err := harness.Values(data)
		if err != nil {
			return nil, err
		}
		for _, own := range []string{"ID", "Version", "ObjectID", "Action"} {
			delete(values, own)
		}
		out = append(out, harness.Recorded{Key: key(r.ObjectID), New: values})
	}
	return out, nil
}

func (h *historied) Close(context.Context) error { return nil }
