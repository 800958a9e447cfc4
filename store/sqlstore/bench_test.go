package sqlstore_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store/sqlstore"
)

// customer is a row as applications have them.
type customer struct {
	ID        int64
	Name      string
	Email     string `gorm:"index"`
	Phone     string
	City      string
	Age       int
	Active    bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

func customerRecord(n int64, action event.Action) event.Record {
	now := time.Now()
	r := event.Record{
		LogID: event.NewID(now), Timestamp: now, UserID: fmt.Sprint(n % 50), Username: fmt.Sprintf("user%d", n%50), FullName: "John Doe", ActorType: "user",
		Action: action, ObjectType: "customer", ObjectID: fmt.Sprint(n), ObjectRepr: "Customer of the benchmark", ChangeMessage: event.TextMessage("Object modified"),
		IPAddress: "192.0.2.1", RequestID: event.NewID(now), TxID: event.NewID(now), HTTPMethod: "POST", HTTPRoute: "/customers/:id", Table: "customers", Source: "api",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", SessionKey: "0123456789abcdef0123456789abcdef",
		ChangedFields: []string{"phone", "age"},
		Changes: []event.Change{
			{Field: "phone", Label: "Phone", Type: event.TypeString, Old: json.RawMessage(`"090 123 456"`), New: json.RawMessage(`"091 654 321"`)},
			{Field: "age", Label: "Age", Type: event.TypeInteger, Old: json.RawMessage(`41`), New: json.RawMessage(`42`)},
		},
	}
	return r
}

// BenchmarkWriteTx compares writes of one row in a transaction with and without one record in the same
// transaction, in turns. It reports the ratio of the medians; capture is not in it.
func BenchmarkWriteTx(b *testing.B) {
	for _, d := range databases {
		b.Run(d.name, func(b *testing.B) {
			db := d.open(b)
			if err := db.AutoMigrate(&customer{}); err != nil {
				b.Fatal(err)
			}
			s := newStore(b, db, sqlstore.Config{})
			var ids []int64
			for range 2000 {
				c := customer{Name: "Customer", Email: fmt.Sprint("c", len(ids), "@example.com"), Phone: "090"}
				if err := db.Create(&c).Error; err != nil {
					b.Fatal(err)
				}
				ids = append(ids, c.ID)
			}
			n := 0
			for _, op := range []struct {
				name   string
				before func() error
				run    func(tx *gorm.DB) error
			}{
				{"create", func() error { return nil }, func(tx *gorm.DB) error {
					return tx.Create(&customer{Name: "New", Email: fmt.Sprint("n", n, "@example.com"), Phone: "091", City: "Hanoi"}).Error
				}},
				{"update", func() error { return nil }, func(tx *gorm.DB) error {
					return tx.Model(&customer{ID: ids[n%1000]}).Updates(map[string]any{"phone": fmt.Sprint(n), "age": n % 90}).Error
				}},
				{"delete", func() error { return db.Create(&customer{ID: int64(1_000_000 + n), Name: "Gone"}).Error }, func(tx *gorm.DB) error {
					return tx.Delete(&customer{ID: int64(1_000_000 + n)}).Error
				}},
			} {
				b.Run(op.name, func(b *testing.B) {
					ratio(b, func(b *testing.B, audited bool) time.Duration {
						n++
						if err := op.before(); err != nil {
							b.Fatal(err)
						}
						start := time.Now()
						err := db.Transaction(func(tx *gorm.DB) error {
							if err := op.run(tx); err != nil || !audited {
								return err
							}
							return s.WriteTx(b.Context(), tx.Statement.ConnPool, []event.Record{customerRecord(int64(n), event.ActionChange)})
						})
						if err != nil {
							b.Fatal(err)
						}
						return time.Since(start)
					})
				})
			}
		})
	}
}

// ratio runs f in turns with false and true and reports the medians and their ratio.
func ratio(b *testing.B, f func(b *testing.B, with bool) time.Duration) {
	b.Helper()
	var took [2][]time.Duration
	for b.Loop() {
		for i, with := range []bool{false, true} {
			took[i] = append(took[i], f(b, with))
		}
	}
	var median [2]float64
	for i := range took {
		slices.Sort(took[i])
		median[i] = float64(took[i][len(took[i])/2].Microseconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median[0], "plain-µs")
	b.ReportMetric(median[1], "audited-µs")
	b.ReportMetric(median[1]/median[0], "ratio")
}
