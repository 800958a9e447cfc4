package plugins_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/sharding"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/testservers"
)

type ticket struct {
	ID     int64 `gorm:"primaryKey;autoIncrement:false"`
	UserID int64
	Name   string
}

// sharded opens a database whose tickets are in two tables.
func sharded(t *testing.T) (db *gorm.DB, plug gorm.Plugin) {
	t.Helper()
	db = open(t, postgres.Open(testservers.PostgresSchema(t)))
	for _, table := range []string{"tickets_0", "tickets_1"} {
		if err := db.Exec("CREATE TABLE " + table + " (id bigint PRIMARY KEY, user_id bigint, name text)").Error; err != nil {
			t.Fatal(err)
		}
	}
	return db, sharding.Register(sharding.Config{
		ShardingKey: "user_id", NumberOfShards: 2, PrimaryKeyGenerator: sharding.PKCustom,
		PrimaryKeyGeneratorFn: func(int64) int64 { return 0 },
		ShardingAlgorithm:     func(v any) (string, error) { return fmt.Sprintf("_%d", v.(int64)%2), nil }, //nolint:forcetypeassert // the test gives it
	}, &ticket{})
}

// Sharding sends other statements than it is given. Installed before the plugin it is refused.
func TestSharding_before_isRefused(t *testing.T) {
	t.Parallel()
	db, plug := sharded(t)
	if err := db.Use(plug); err != nil {
		t.Fatal(err)
	}
	p := newPlugin(t, db)
	err := db.Use(p)
	if !errors.Is(err, capture.ErrDialect) || !strings.Contains(err.Error(), "gorm.io/sharding") || !strings.Contains(err.Error(), "AllowUntested") {
		t.Error(err)
	}
}

// Installed behind it, or allowed, its statements run as they are and are counted.
func TestSharding_writesAreCounted(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before": true, "behind": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, plug := sharded(t)
			p := newPlugin(t, db)
			p.models["tickets"] = modelOf(t, db, &ticket{})
			p.cfg.AllowUntested = before
			uses := []gorm.Plugin{p, plug}
			if before {
				uses = []gorm.Plugin{plug, p}
			}
			for _, u := range uses {
				if err := db.Use(u); err != nil {
					t.Fatal(err)
				}
			}
			for _, tx := range []*gorm.DB{
				db.Create(&ticket{ID: 1, UserID: 1, Name: "a"}),
				db.Create(&ticket{ID: 2, UserID: 2, Name: "b"}),
				db.Model(&ticket{}).Where("user_id = ? AND id = ?", int64(1), int64(1)).Update("name", "c"),
				db.Where("user_id = ? AND id = ?", int64(2), int64(2)).Delete(&ticket{}),
			} {
				if tx.Error != nil || tx.RowsAffected != 1 {
					t.Error(tx.Error, tx.RowsAffected)
				}
			}
			skipped := "skipped " + capture.ReasonPool
			p.want(t, skipped, skipped, skipped, skipped)
			tx := db.Begin()
			for id := range int64(2) {
				if err := tx.Create(&ticket{ID: 10 + id, UserID: id, Name: "rolled back"}).Error; err != nil {
					t.Error(err)
				}
			}
			if err := tx.Rollback().Error; err != nil {
				t.Error(err)
			}
			p.want(t, skipped, skipped)
			var names []string
			if err := db.Raw("SELECT name FROM tickets_1 UNION ALL SELECT name FROM tickets_0").Scan(&names).Error; err != nil || fmt.Sprint(names) != "[c]" {
				t.Error(err, names)
			}
		})
	}
}
