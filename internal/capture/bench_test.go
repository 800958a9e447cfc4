package capture_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
)

// wide is a usual model of nine columns.
type wide struct {
	ID        uint
	CreatedAt time.Time
	UpdatedAt time.Time
	Name      string
	Email     string
	City      string
	Age       int
	Score     float64
	Active    bool
}

// BenchmarkCapture compares each operation with and without capture, one after the other in the same
// run, so that the load of the machine is in both. The metric "ratio" is the median of single calls.
func BenchmarkCapture(b *testing.B) {
	many := func(n int) []wide {
		out := make([]wide, n)
		for i := range out {
			out[i] = wide{Name: fmt.Sprint("name ", i), Email: "a@example.com", City: "Oslo", Age: i}
		}
		return out
	}
	operations := []struct {
		name string
		rows int // that are there before
		run  func(db *gorm.DB, first uint, i int) error
	}{
		{"create", 0, func(db *gorm.DB, _ uint, _ int) error { return db.Create(&many(1)[0]).Error }},
		{"update", 1, func(db *gorm.DB, id uint, i int) error { return db.Model(&wide{ID: id}).Update("age", i).Error }},
		{"save", 1, func(db *gorm.DB, id uint, i int) error {
			return db.Save(&wide{ID: id, Name: "n", Age: i, CreatedAt: time.Unix(1, 0)}).Error
		}},
		{"delete", 1, func(db *gorm.DB, id uint, _ int) error { return db.Delete(&wide{ID: id}).Error }},
		{"upsert", 1, func(db *gorm.DB, id uint, i int) error {
			return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&wide{ID: id, Name: "n", Age: i}).Error
		}},
		{"create1000", 0, func(db *gorm.DB, _ uint, _ int) error { m := many(1000); return db.Create(&m).Error }},
		{"update1000", 1000, func(db *gorm.DB, id uint, _ int) error {
			return db.Model(&wide{}).Where("id >= ?", id).Update("age", gorm.Expr("age + 1")).Error
		}},
		{"delete1000", 1000, func(db *gorm.DB, id uint, _ int) error { return db.Where("id >= ?", id).Delete(&wide{}).Error }},
		{"unregistered", 1, func(db *gorm.DB, id uint, i int) error { return db.Model(&Order{ID: id}).Update("amount", i).Error }},
	}
	for _, d := range databases {
		for _, op := range operations {
			b.Run(d.name+"/"+op.name, func(b *testing.B) {
				handles := [2]*gorm.DB{d.open(b, &gorm.Config{}), d.open(b, &gorm.Config{})}
				r := &recorder{}
				for i, db := range handles {
					if err := db.AutoMigrate(&wide{}, &Order{}); err != nil {
						b.Fatal(err)
					}
					if i == 1 {
						r.register(b, db, &wide{})
						h := r.hooks()
						h.AfterCommit = nopAfterCommit
						if err := capture.Install(db, h, capture.Config{}); err != nil {
							b.Fatal(err)
						}
					}
				}
				var took [2][]time.Duration
				next := uint(1)
				for i := range b.N {
					for h, db := range handles {
						id := next
						if op.rows > 0 {
							db.Exec("DELETE FROM wides")
							rows := many(op.rows)
							for k := range rows {
								rows[k].ID = id + uint(k)
							}
							if err := handles[h].Session(&gorm.Session{}).Table("wides").Create(&rows).Error; err != nil {
								b.Fatal(err)
							}
						}
						start := time.Now()
						if err := op.run(db, id, i+1000); err != nil {
							b.Fatal(err)
						}
						took[h] = append(took[h], time.Since(start))
					}
					next += uint(op.rows)
				}
				plain, captured := median(took[0]), median(took[1])
				b.ReportMetric(float64(plain), "plain-ns/op")
				b.ReportMetric(float64(captured), "captured-ns/op")
				b.ReportMetric(float64(captured)/float64(plain), "ratio")
			})
		}
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
