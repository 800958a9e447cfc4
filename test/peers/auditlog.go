package main

import (
	"context"

	auditlog "github.com/arjunagi-a-rehman/gormAuditlog"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/bench/harness"
)

// triggered is gormAuditlog on a handle: it makes triggers.
type triggered struct {
	uncounted
	last uint
}

func installAuditlog(db *gorm.DB) (harness.Installed, error) {
	logger, err := auditlog.NewAuditLogger(db, &harness.Customer{})
	if err != nil {
		return nil, err
	}
	if err := logger.CreateAuditLogTable(); err != nil {
		return nil, err
	}
	return &triggered{}, logger.CreateTriggers()
}

// Recorded reads the library's table, which has one image of a row.
func (t *triggered) Recorded(ctx context.Context, db *gorm.DB) (out []harness.Recorded, err error) {
	var rows []auditlog.AuditLog
	if err := db.WithContext(ctx).Where("id > ?", t.last).Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	for _, r := range rows {
		t.last = r.ID
		values, err := harness.Values([]byte(r.CurrentValue))
		if err != nil {
			return nil, err
		}
		one := harness.Recorded{Key: r.RecordID, New: values}
		if r.Action == "DELETE" {
			one.Old, one.New = values, nil
		}
		out = append(out, one)
	}
	return out, nil
}

func (t *triggered) Close(context.Context) error { return nil }
