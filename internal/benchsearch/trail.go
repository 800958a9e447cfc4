package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// trailStart is the time of the oldest record.
var trailStart = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

func trailTime(n, size int) time.Time {
	return trailStart.Add(time.Duration(float64(n) / float64(size) * float64(year)))
}

// fill writes the records, all of them or an error.
func fill(ctx context.Context, s store.Writer, size int) error {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 0; n < size; {
		var docs []store.Doc
		for ; len(docs) < 1000 && n < size; n++ {
			docs = append(docs, store.Doc{Record: trailRecord(rng, n, size)})
		}
		for len(docs) > 0 {
			results, err := s.Write(ctx, docs)
			if err != nil {
				return err
			}
			var again []store.Doc
			for i, r := range results {
				switch r.Status {
				case store.Stored, store.Duplicate:
				case store.Transient:
					again = append(again, docs[i])
				default:
					return fmt.Errorf("record %s: %s: %w", docs[i].Record.LogID, r.Status, r.Err)
				}
			}
			docs = again
		}
	}
	return nil
}

func trailRecord(rng *rand.Rand, n, size int) event.Record {
	names := []string{"Nguyễn", "Trần", "Smith", "Müller", "Kowalski", "Phạm"}
	statuses := []string{"PENDING", "APPROVED", "REJECTED"}
	at := trailTime(n, size)
	user := int(5000 * rng.Float64() * rng.Float64() * rng.Float64())
	r := event.Record{
		LogID: event.NewID(at), Timestamp: at, UserID: fmt.Sprint(user), Username: fmt.Sprintf("user%d", user), FullName: names[user%6] + " " + names[user/6%6],
		Action: event.ActionChange, ObjectType: []string{"customer", "order", "employee"}[rng.IntN(3)], ObjectID: fmt.Sprint(rng.IntN(size/20 + 1)),
		ObjectRepr: fmt.Sprintf("Object %d of %s", n%7919, names[n%6]), RequestID: fmt.Sprintf("req-%d", n/3), TxID: fmt.Sprintf("tx-%d", n/2),
		IPAddress: fmt.Sprintf("192.0.2.%d", user%250), HTTPMethod: "POST", HTTPRoute: "/objects/:id", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		SessionKey: fmt.Sprintf("%032x", user*7919), Table: "objects",
	}
	if n%4 == 0 {
		r.Action, r.ChangeMessage = event.ActionAdd, event.TextMessage(event.TextCreated)
		return r
	}
	text := func(s string) json.RawMessage { return json.RawMessage(`"` + s + `"`) }
	r.ChangedFields = []string{"status", "amount", "note"}
	r.Changes = []event.Change{
		{Field: "status", Label: "Status", Type: event.TypeString, Old: text(statuses[rng.IntN(3)]), New: text(statuses[rng.IntN(3)])},
		{Field: "amount", Label: "Amount", Type: event.TypeDecimal, Old: text(fmt.Sprintf("%d.50", rng.IntN(9999))), New: text(fmt.Sprintf("%d.50", rng.IntN(9999)))},
		{Field: "note", Label: "Note", Type: event.TypeString, Old: text("called the customer, no answer"), New: text("sent a letter about the offer")},
	}
	return r
}
