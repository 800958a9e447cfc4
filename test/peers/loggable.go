package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/imansprn/gorm-loggable"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/bench/harness"
)

// loggableCustomer is the row as the library wants it.
type loggableCustomer struct {
	harness.Customer
	loggable.LoggableModel
}

func (loggableCustomer) TableName() string { return "customers" }

// logged is gorm-loggable on a handle.
type logged struct {
	uncounted
	last uint
}

func installLoggable(db *gorm.DB) (harness.Installed, error) {
	_, err := loggable.Register(db)
	return &logged{}, err
}

// Recorded reads the library's table, which has one image of a row.
func (l *logged) Recorded(ctx context.Context, db *gorm.DB) (out []harness.Recorded, err error) {
	var rows []loggable.ChangeLog
	if err := db.WithContext(ctx).Where("id > ?", l.last).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	for _, r := range rows {
		l.last = r.ID
		data, err := json.Marshal(r.RawObject)
		if err != nil {
			return nil, err
		}
		values, err := harness.Values(data)
		if err != nil {
			return nil, err
		}
		one := harness.Recorded{Key: strings.TrimPrefix(r.PrimaryKey, "ID="), New: values}
		if id, ok := values["ID"].(float64); ok && one.Key == "" { // the column is empty, and the image has the key
			one.Key = strconv.FormatFloat(id, 'f', -1, 64)
		}
		if r.Operation == loggable.OperationDelete {
			one.Old, one.New = values, nil
		}
		out = append(out, one)
	}
	return out, nil
}

func (l *logged) Close(context.Context) error { return nil }

func key(id uint) string { return strconv.FormatUint(uint64(id), 10) }
