package filelog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/filelog"
)

// A local file beside another sink.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "logs")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file, err := filelog.Open(filepath.Join(dir, "audit.log"), filelog.Config{MaxSize: 100, MaxBackups: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()

	sink := audit.Tee(file) // audit.Tee(spool, file); audit.Config{Sink: sink}
	r := event.Record{LogID: "1", Timestamp: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), Action: event.ActionAdd, ObjectType: "customer", ObjectID: "7"}
	if err := sink.Write(context.Background(), []event.Record{r}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(file.Stats().Written, "record written")
	// Output: 1 record written
}
