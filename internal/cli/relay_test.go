package cli

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

func records(count int) []event.Record {
	var list []event.Record
	for n := range count {
		list = append(list, event.Record{LogID: "id-" + strconv.Itoa(n), Timestamp: november, Action: event.ActionAdd, ObjectID: strconv.Itoa(n)})
	}
	return list
}

func TestRelay_sendsWhatWasLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	dir := t.TempDir()
	ended, err := spool.Open(dir, spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Write(t.Context(), records(100)); err != nil {
		t.Fatal(err)
	}
	if err := ended.Close(); err != nil {
		t.Fatal(err)
	}

	p, _, stderr := program(r.variables, "--env-file=", "relay", "--spool", dir, "--interval", "50ms")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- Main(ctx, p) }()
	read, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	source, err := rabbit.NewSource(read, r.source, "reader", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var got []stream.Message
	for len(got) < 100 {
		more, err := source.Read(read, 100)
		if err != nil {
			t.Fatalf("after %d messages: %v\n%s", len(got), err, stderr.String())
		}
		got = append(got, more...)
	}
	cancel()
	if code := <-done; code != ExitOK {
		t.Errorf("code %d\n%s", code, stderr.String())
	}
	for i, m := range got {
		if m.ID != "id-"+strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, m.ID)
		}
	}
}
