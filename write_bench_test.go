package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
)

// benchCustomer is the row that the benchmarks write.
type benchCustomer struct {
	ID                       uint
	Name, Email, Phone, City string
	Balance                  float64
	Active                   bool
	Notes                    string
	CreatedAt, UpdatedAt     time.Time
}

// dropped is a sink that forgets its records.
type dropped struct{}

func (dropped) Write(context.Context, []event.Record) error { return nil }

// BenchmarkWrite has the write paths of one row, through plain GORM, with records that are dropped, and
// with the embedded store. internal/bench compares their times properly; here are the allocations, and
// what a profile is taken of.
func BenchmarkWrite(b *testing.B) {
	databases := []struct {
		name string
		open func(b *testing.B) gorm.Dialector
	}{
		{"postgres", func(b *testing.B) gorm.Dialector { return postgres.Open(testservers.PostgresSchema(b)) }},
		{"sqlite", func(b *testing.B) gorm.Dialector {
			return sqlite.Open(filepath.Join(b.TempDir(), "bench.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
		}},
	}
	variants := []struct {
		name   string
		config *audit.Config
	}{{"plain", nil}, {"capture", &audit.Config{Sink: dropped{}}}, {"embedded", &audit.Config{}}}
	for _, d := range databases {
		for _, v := range variants {
			b.Run(d.name+"/"+v.name, func(b *testing.B) {
				db := openBench(b, d.open(b), v.config)
				writes(b, db)
			})
		}
	}
}

func openBench(b *testing.B, d gorm.Dialector, config *audit.Config) *gorm.DB {
	b.Helper()
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		b.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		b.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = pool.Close() })
	if err := db.AutoMigrate(&benchCustomer{}); err != nil {
		b.Fatal(err)
	}
	if config != nil {
		cfg := *config
		cfg.Registry, cfg.Logger = audit.NewRegistry(), slog.New(slog.DiscardHandler)
		if err := cfg.Registry.Register(&benchCustomer{}); err != nil {
			b.Fatal(err)
		}
		a := audit.New(cfg)
		if err := db.Use(a); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if s := a.Stats(); s.Failed > 0 || len(s.Errors) > 0 || len(s.Skipped) > 0 {
				b.Errorf("not everything was recorded: %+v", s)
			}
		})
	}
	return db.WithContext(audit.WithActor(b.Context(), audit.Actor{ID: "7", Username: "john.doe", FullName: "John Doe"}))
}

func writes(b *testing.B, db *gorm.DB) {
	b.Helper()
	create := func(n int) []benchCustomer {
		rows := make([]benchCustomer, n)
		for i := range rows {
			rows[i] = benchCustomer{Name: "John Doe", Email: "john.doe@example.com", Phone: "+49 30 123456", City: "Berlin", Balance: 12.5, Notes: "a note that is longer than the others"}
		}
		return rows
	}
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := db.Create(&create(1)[0]).Error; err != nil {
				b.Fatal(err)
			}
		}
	})
	row := &create(1)[0]
	if err := db.Create(row).Error; err != nil {
		b.Fatal(err)
	}
	b.Run("update", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := db.Model(row).Updates(map[string]any{"name": fmt.Sprintf("Changed %d", i), "balance": float64(i) + 0.5}).Error; err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("save", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			row.Name = fmt.Sprintf("Saved %d", i)
			if err := db.Save(row).Error; err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("delete", func(b *testing.B) {
		b.ReportAllocs()
		rows := create(b.N + 1)
		if err := db.Session(&gorm.Session{}).CreateInBatches(rows, 500).Error; err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for i := range b.N {
			if err := db.Delete(&rows[i]).Error; err != nil {
				b.Fatal(err)
			}
		}
	})
}
