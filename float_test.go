package audit_test

import (
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// Gauge has numbers of 32 bits, which drivers give as ones of 64.
type Gauge struct {
	ID   uint
	Rate float32  `gorm:"type:real"`
	Opt  *float32 `gorm:"type:real"`
}

func TestValues_float32_areShownAsTheModelHasThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Gauge{}))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		opt := float32(2.3)
		must(t, db.Create(&Gauge{Rate: 0.1, Opt: &opt}).Error)
		records := rec.take()
		if len(records) != 1 || string(records[0].Changes[1].New) != "0.1" || string(records[0].Changes[2].New) != "2.3" {
			t.Errorf("want 0.1 and 2.3:\n%s", lines(records))
		}
	})
}
