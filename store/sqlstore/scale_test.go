package sqlstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// BenchmarkSearch measures searches in a trail of AUDIT_BENCH_RECORDS (20,000 by default) records of one
// year with 5,000 users, most of which do little. It reports p50 and p99 of each kind of search.
func BenchmarkSearch(b *testing.B) {
	size := 20_000
	if v := os.Getenv("AUDIT_BENCH_RECORDS"); v != "" {
		if _, err := fmt.Sscan(v, &size); err != nil {
			b.Fatal(err)
		}
	}
	for _, d := range databases {
		if d.name == "sqlite in memory" {
			continue
		}
		b.Run(d.name, func(b *testing.B) {
			db := d.open(b)
			s := newStore(b, db, sqlstore.Config{})
			start := time.Now()
			fill(b, s, size)
			b.Logf("%s: stored %d records, %.0f a second", d.name, size, float64(size)/time.Since(start).Seconds())
			start = time.Now()
			if err := s.Index(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.Logf("%s: indexed %d records, %.0f a second", d.name, size, float64(size)/time.Since(start).Seconds())
			analyze(b, db, d.name)
			for _, k := range kindsOfSearch(size) {
				b.Run(k.name, func(b *testing.B) { percentiles(b, s, k.query) })
			}
		})
	}
}

func analyze(b *testing.B, db *gorm.DB, name string) {
	if name != "postgres" {
		return
	}
	for _, t := range []string{"audit_logs", "audit_logs_text"} {
		if err := db.Exec("VACUUM ANALYZE " + t).Error; err != nil {
			b.Fatal(err)
		}
	}
}

var benchStart = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

func benchTime(n, size int) time.Time {
	return benchStart.Add(time.Duration(float64(n) / float64(size) * 365 * 24 * float64(time.Hour)))
}

func fill(b *testing.B, s *sqlstore.Store, size int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	names := []string{"Nguyễn", "Trần", "Smith", "Müller", "Kowalski", "Phạm"}
	statuses := []string{"PENDING", "APPROVED", "REJECTED"}
	for n := 0; n < size; {
		var docs []store.Doc
		for ; len(docs) < 1000 && n < size; n++ {
			at := benchTime(n, size)
			user := int(5000 * rng.Float64() * rng.Float64() * rng.Float64())
			r := event.Record{
				LogID: event.NewID(at), Timestamp: at, UserID: fmt.Sprint(user), Username: fmt.Sprintf("user%d", user), FullName: names[user%6] + " " + names[user/6%6],
				Action: event.ActionChange, ObjectType: []string{"customer", "order", "employee"}[rng.IntN(3)], ObjectID: fmt.Sprint(rng.IntN(size/20 + 1)),
				ObjectRepr: fmt.Sprintf("Object %d of %s", n%7919, names[n%6]), RequestID: fmt.Sprintf("req-%d", n/3), TxID: fmt.Sprintf("tx-%d", n/2),
				IPAddress: fmt.Sprintf("192.0.2.%d", user%250), HTTPMethod: "POST", HTTPRoute: "/objects/:id", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
				SessionKey: fmt.Sprintf("%032x", user*7919), ChangedFields: []string{"status", "amount", "note"}, Table: "objects",
				Changes: []event.Change{
					{Field: "status", Label: "Status", Type: "string", Old: json.RawMessage(`"` + statuses[rng.IntN(3)] + `"`), New: json.RawMessage(`"` + statuses[rng.IntN(3)] + `"`)},
					{Field: "amount", Label: "Amount", Type: "decimal", Old: json.RawMessage(fmt.Sprintf(`"%d.50"`, rng.IntN(9999))), New: json.RawMessage(fmt.Sprintf(`"%d.50"`, rng.IntN(9999)))},
					{Field: "note", Label: "Note", Type: "string", Old: json.RawMessage(`"called the customer, no answer"`), New: json.RawMessage(`"sent a letter about the offer"`)},
				},
			}
			if n%4 == 0 {
				r.Action, r.Changes, r.ChangedFields = event.ActionAdd, nil, nil
				r.ChangeMessage = event.TextMessage(event.TextCreated)
			}
			docs = append(docs, store.Doc{Record: r})
		}
		if _, err := s.Write(b.Context(), docs); err != nil {
			b.Fatal(err)
		}
	}
}

type kindOfSearch struct {
	name  string
	query func(rng *rand.Rand) store.Query
}

func kindsOfSearch(size int) []kindOfSearch {
	filter := func(f store.Field, v ...string) store.Filter { return store.Filter{Field: f, Values: v} }
	return []kindOfSearch{
		{"newest page", func(*rand.Rand) store.Query { return store.Query{} }},
		{"object history", func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldObjectType, "order"), filter(store.FieldObjectID, fmt.Sprint(rng.IntN(size/20+1)))}}
		}},
		{"user", func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldUserID, fmt.Sprint(rng.IntN(5000)))}}
		}},
		{"busiest user", func(*rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldUserID, "0")}}
		}},
		{"type, action, 30 days", func(rng *rand.Rand) store.Query {
			from := benchStart.AddDate(0, 0, rng.IntN(330))
			return store.Query{From: from, To: from.AddDate(0, 0, 30), Filters: []store.Filter{filter(store.FieldObjectType, "order"), filter(store.FieldAction, "ADD")}}
		}},
		{"request", func(rng *rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldRequestID, fmt.Sprintf("req-%d", rng.IntN(size/3)))}}
		}},
		{"changed field", func(*rand.Rand) store.Query {
			return store.Query{Filters: []store.Filter{filter(store.FieldChangedField, "status")}}
		}},
		{"cursor in the middle", func(rng *rand.Rand) store.Query {
			return store.Query{Size: 100, After: &store.Position{Timestamp: benchTime(rng.IntN(size), size), LogID: "x"}}
		}},
		{"text, rare words", func(rng *rand.Rand) store.Query {
			return store.Query{Text: fmt.Sprintf("object %d", rng.IntN(7919))}
		}},
		{"text, common words", func(*rand.Rand) store.Query { return store.Query{Text: "nguyen letter"} }},
		{"text, phrase", func(*rand.Rand) store.Query { return store.Query{Text: `"letter about the offer"`} }},
		{"text, prefix", func(*rand.Rand) store.Query { return store.Query{Text: "ngu* appr*"} }},
		{"text and user", func(rng *rand.Rand) store.Query {
			return store.Query{Text: "letter", Filters: []store.Filter{filter(store.FieldUserID, fmt.Sprint(rng.IntN(500)))}}
		}},
		{"text, nothing", func(*rand.Rand) store.Query { return store.Query{Text: "nguyen nobodyhasthis"} }},
	}
}

func percentiles(b *testing.B, s *sqlstore.Store, query func(*rand.Rand) store.Query) {
	rng := rand.New(rand.NewPCG(5, 6))
	var took []time.Duration
	for b.Loop() {
		q := query(rng)
		start := time.Now()
		if _, err := s.Search(context.Background(), q); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
