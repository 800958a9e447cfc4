package event_test

import (
	"fmt"
	"time"

	"github.com/gormtrail/audit/event"
)

func ExampleDecode() {
	// A record of the specification's own producer: custom fields at the top level.
	r, err := event.Decode([]byte(`{"log_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": "2024-01-02T03:04:05.5",
		"action": "CREATE", "object_type": "customer", "object_id": 42, "change_message": "Created new object", "import_source": "a.xlsx"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := r.ChangeMessage.Text()
	fmt.Println(r.Action, r.ObjectID, r.Timestamp.Format(time.RFC3339Nano), text, r.Extra)
	// Output: ADD 42 2024-01-02T03:04:05.5Z Created new object map[import_source:a.xlsx]
}

func ExampleStamp() {
	encoded, err := event.Encode(event.Record{LogID: "1", Timestamp: time.Unix(0, 0), Action: event.ActionAdd})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(event.Stamp(encoded, "crm/1", 7)))
	// Output: {"schema_version":1,"log_id":"1","timestamp":"1970-01-01T00:00:00Z","action":"ADD","producer_id":"crm/1","seq":7}
}
