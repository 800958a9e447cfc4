package outbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/outbox"
)

// customer is a row as applications have them.
type customer struct {
	ID        int64
	Name      string
	Email     string
	Phone     string
	Age       int
	UpdatedAt time.Time
}

func customerRecords(n int) []event.Record {
	all := make([]event.Record, n)
	for i := range all {
		now := time.Now()
		all[i] = event.Record{
			LogID: event.NewID(now), Timestamp: now, UserID: "7", Username: "john.doe", FullName: "John Doe", ActorType: "user", Action: event.ActionChange,
			ObjectType: "customer", ObjectID: fmt.Sprint(i), ObjectRepr: "Customer of the benchmark", ChangeMessage: event.TextMessage("Object modified"),
			IPAddress: "192.0.2.1", RequestID: event.NewID(now), TxID: event.NewID(now), HTTPMethod: "POST", HTTPRoute: "/customers/:id", Table: "customers",
			ChangedFields: []string{"phone", "age"},
			Changes: []event.Change{
				{Field: "phone", Type: event.TypeString, Old: json.RawMessage(`"090 123 456"`), New: json.RawMessage(`"091 654 321"`)},
				{Field: "age", Type: event.TypeInteger, Old: json.RawMessage(`41`), New: json.RawMessage(`42`)},
			},
		}
	}
	return all
}

// variant is a way to keep records of a transaction that updates a row.
type variant struct {
	name string
	db   *gorm.DB
	// write is called in the transaction, after the update.
	write func(tx *gorm.DB) error
}

// BenchmarkTransaction compares a transaction that updates one row by plain GORM with the same and records
// in the outbox, in turns, for 1 and 8 clients. It reports the ratio of the medians.
func BenchmarkTransaction(b *testing.B) {
	for _, d := range kinds() {
		b.Run(d.name, func(b *testing.B) {
			address := d.address(b)
			db, auditedDB := d.connect(b, address), d.connect(b, address)
			if err := db.AutoMigrate(&customer{}); err != nil {
				b.Fatal(err)
			}
			if err := db.Exec("CREATE TABLE single (id " + map[string]string{"postgres": "bigserial", "sqlite": "integer"}[d.name] + map[bool]string{true: "bigint auto_increment"}[d.name[0] == 'm'] + " PRIMARY KEY, created bigint, body " + map[bool]string{true: "longtext", false: "text"}[d.name[0] == 'm'] + ")").Error; err != nil {
				b.Fatal(err)
			}
			for i := range 64 {
				if err := db.Create(&customer{ID: int64(i + 1), Name: "Customer", Email: "c@example.com"}).Error; err != nil {
					b.Fatal(err)
				}
			}
			o, strict := newOutbox(b, db, outbox.Config{}), newOutbox(b, db, outbox.Config{Strict: true})
			registry := audit.NewRegistry()
			if err := registry.Register(&customer{}); err != nil {
				b.Fatal(err)
			}
			if err := auditedDB.Use(audit.New(audit.Config{Registry: registry, TxSink: o, Scope: audit.ScopeAll, Logger: quiet})); err != nil {
				b.Fatal(err)
			}
			into := func(o *outbox.Outbox, n int) func(tx *gorm.DB) error {
				return func(tx *gorm.DB) error {
					return o.WriteTx(b.Context(), tx.Statement.ConnPool, customerRecords(n))
				}
			}
			nothing := func(*gorm.DB) error { return nil }
			variants := []variant{
				{"plain", db, nothing},
				{"captured-into-outbox", auditedDB, nothing},
				{"1-record", db, into(o, 1)},
				{"1-record-strict", db, into(strict, 1)},
				{"10-records", db, into(o, 10)},
				{"10-records-a-row-each", db, func(tx *gorm.DB) error { return rowEach(tx, customerRecords(10)) }},
			}
			for _, clients := range []int{1, 8} {
				b.Run(fmt.Sprintf("%d-clients", clients), func(b *testing.B) { compare(b, variants, clients) })
			}
		})
	}
}

// rowEach is what is compared with: a row for each record, in one statement.
func rowEach(tx *gorm.DB, records []event.Record) error {
	var text strings.Builder
	var args []any
	for i, r := range records {
		encoded, err := event.Encode(r)
		if err != nil {
			return err
		}
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString("(?,?)")
		args = append(args, r.Timestamp.UnixMilli(), string(encoded))
	}
	return tx.Exec("INSERT INTO single (created, body) VALUES "+text.String(), args...).Error
}

// compare runs rounds of each variant in turns.
func compare(b *testing.B, variants []variant, clients int) {
	b.Helper()
	const perClient = 20
	took := make([][]time.Duration, len(variants))
	for b.Loop() {
		for i, v := range variants {
			start := time.Now()
			var running sync.WaitGroup
			for c := range clients {
				running.Go(func() {
					for n := range perClient {
						err := v.db.WithContext(b.Context()).Transaction(func(tx *gorm.DB) error {
							if err := tx.Model(&customer{ID: int64(1 + c*8 + n%8)}).Updates(map[string]any{"phone": fmt.Sprint(n), "age": n}).Error; err != nil {
								return err
							}
							return v.write(tx)
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			took[i] = append(took[i], time.Since(start)/perClient)
		}
	}
	b.ReportMetric(0, "ns/op")
	var plain float64
	for i, v := range variants {
		slices.Sort(took[i])
		median := float64(took[i][len(took[i])/2].Microseconds())
		if i == 0 {
			plain = median
			b.ReportMetric(median, "plain-µs")
			continue
		}
		b.ReportMetric(median/plain, v.name)
	}
}

// BenchmarkClaim gives how many records a second come through the queue: claimed, read, confirmed and
// deleted.
func BenchmarkClaim(b *testing.B) {
	for _, d := range kinds() {
		b.Run(d.name, func(b *testing.B) {
			db := d.connect(b, d.address(b))
			o := newOutbox(b, db, outbox.Config{})
			q := openQueue(b, o, outbox.QueueConfig{})
			const rows = 2000
			var spent time.Duration
			after := uint64(0)
			for b.Loop() {
				err := db.Transaction(func(tx *gorm.DB) error {
					for range rows {
						if err := o.WriteTx(b.Context(), tx.Statement.ConnPool, customerRecords(1)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				for end := after + rows; after < end; {
					messages, err := q.Read(b.Context(), after, 500)
					if err != nil {
						b.Fatal(err)
					}
					after = messages[len(messages)-1].Seq
					if err := q.Acknowledge(b.Context(), after); err != nil {
						b.Fatal(err)
					}
				}
				spent += time.Since(start)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(after)/spent.Seconds(), "records/s")
		})
	}
}
