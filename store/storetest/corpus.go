package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/gormtrail/audit/event"
)

// start is the time of the oldest record of the corpus: an hour before a month ends, so that the corpus
// spans two.
var start = time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)

// id gives the log_id with the number n; ids are in the order of their numbers.
func id(n int) string { return fmt.Sprintf("019c15a0-0000-7000-8000-%012d", n) }

// plainRecord gives a record with the least that one has.
func plainRecord(n int, at time.Time) event.Record {
	return event.Record{LogID: id(n), Timestamp: at, Action: event.ActionAdd, ObjectType: "customer", ObjectID: "c"}
}

// corpus gives the records that queries are tried on. Their fields are drawn from small sets, so that
// every filter finds some, and several records have the same time.
func corpus() []event.Record {
	rng := rand.New(rand.NewPCG(7, 11))
	pick := func(values ...string) string { return values[rng.IntN(len(values))] }
	records := make([]event.Record, 72)
	for i := range records {
		r := plainRecord(i, start.Add(time.Duration(rng.IntN(30))*4*time.Minute))
		r.UserID = pick("", "1", "7", "42", "user:ü", "7 ")
		r.Username = pick("", "john.doe", "John.Doe", "nguyễn", norm.NFD.String("nguyễn"), "NGUYEN", "mary@example.com")
		r.FullName = pick("", "John Doe", "Nguyễn Thị Đào", "Łukasz Straße", "张伟")
		r.Action = event.Action(pick("ADD", "CHANGE", "DELETE", "IMPORT", "APPROVE"))
		r.ObjectType = pick("customer", "Customer", "order", "employee")
		r.ObjectID = pick("1", "2", "01", "cus_456", "a,b", "Ünïcode", "")
		r.ObjectRepr = pick("Big Customer", "Đơn hàng số 5", "order #17/2026", "")
		r.SourceModel = pick("", "", "dependent", "Dependent")
		r.SourcePK = pick("", "", "9", "10")
		r.TenantID = pick("a", "b", "A", "")
		r.RequestID = pick("", "req-1", "req-2", "REQ-1")
		r.TraceID = pick("", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b700f067aa0ba902b7")
		r.SessionKey = pick("", "s1", "S1", "s2")
		r.IPAddress = pick("", "192.0.2.1", "192.0.2.10", "2001:db8::1")
		r.BatchID = pick("", "", "batch-1", "batch-2")
		if r.BatchID != "" {
			r.BatchAction = event.Action(pick("IMPORT", "EXPORT"))
		}
		r.TxID = pick("", "tx1", "tx2")
		switch rng.IntN(4) {
		case 0:
			r.ChangedFields = []string{"phone"}
			r.Changes = []event.Change{{Field: "phone", Old: json.RawMessage(`"090"`), New: json.RawMessage(`"091"`)}}
		case 1:
			r.ChangedFields = []string{"phone_number", "status"}
			r.Changes = []event.Change{
				{Field: "phone_number", Old: json.RawMessage(`null`), New: json.RawMessage(`"+84 90 123"`)},
				{Field: "status", Old: json.RawMessage(`"PENDING"`), New: json.RawMessage(`"APPROVED"`)},
			}
		case 2:
			r.ChangedFields = []string{"status"}
		}
		r.ChangeMessage = event.TextMessage(pick(event.TextCreated, event.TextModified))
		records[i] = r
	}
	return records
}
