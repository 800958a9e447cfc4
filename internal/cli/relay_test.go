package cli

import (
	"bufio"
	"context"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/relay"
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
	read, stop := context.WithTimeout(t.Context(), 2*time.Minute)
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

// TestRefill_sendsAgainWhatTheBrokerHasLost removes the stream after everything was confirmed, and sends it
// again while the application's spool is open.
func TestRefill_sendsAgainWhatTheBrokerHasLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	dir := t.TempDir()
	queue, err := spool.Open(dir, spool.Config{Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	service, err := relay.Start(queue, rabbit.Dialer(r.source), relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := queue.Write(t.Context(), records(50)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := service.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for queue.Stats().Acknowledged < 50 || !markSaved(t, queue.Folder()) {
		if ctx.Err() != nil {
			t.Fatal("the mark is not saved")
		}
	}
	if err := rabbit.Delete(ctx, r.source); err != nil {
		t.Fatal(err)
	}
	if err := rabbit.Declare(ctx, r.source, rabbit.Limits{}); err != nil {
		t.Fatal(err)
	}
	p, stdout, stderr := program(r.variables, "--env-file=", "relay", "--spool", dir, "--refill", "11-40", "--producer", queue.Producer())
	if code := Main(ctx, p); code != ExitOK || !strings.HasPrefix(stdout.String(), "30 records of "+queue.Producer()+" were sent again, as refill/") {
		t.Fatalf("code %d: %s%s", code, stdout, stderr)
	}
	source, err := rabbit.NewSource(ctx, r.source, "reader", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for next := 10; next < 40; {
		more, err := source.Read(ctx, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range more {
			rec, err := event.Decode(m.Payload)
			if err != nil || m.ID != "id-"+strconv.Itoa(next) || rec.Seq != uint64(next+1) {
				t.Fatalf("message %q with sequence %d, %v; want id-%d", m.ID, rec.Seq, err, next)
			}
			next++
		}
	}
	if n := queue.Stats().Written; n != 50 {
		t.Errorf("%d records in the spool, want the 50 there were", n)
	}
}

// markSaved asks for a range that begins at the last record: it is there once the mark is.
func markSaved(t *testing.T, folder string) bool {
	t.Helper()
	refill, err := spool.OpenRefill(folder, spool.Range{})
	if err != nil {
		return false
	}
	defer refill.Close()
	last, err := refill.Last(t.Context())
	return err == nil && last >= 50
}

func TestTail_printsWhileTheSpoolIsInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	queue, err := spool.Open(dir, spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	all := records(30)
	if err := queue.Write(t.Context(), all[:10]); err != nil {
		t.Fatal(err)
	}
	lines := func(args ...string) []string {
		t.Helper()
		p, stdout, stderr := program(nil, append([]string{"--env-file=", "tail"}, args...)...)
		if code := Main(t.Context(), p); code != ExitOK {
			t.Fatalf("code %d: %s", code, stderr)
		}
		return strings.Split(strings.TrimSpace(stdout.String()), "\n")
	}
	for _, args := range [][]string{{dir}, {"--spool", dir}, {queue.Folder()}, {dir, "--producer", queue.Producer()}} {
		got := lines(args...)
		if len(got) != 10 {
			t.Fatalf("%v: %d lines, want 10", args, len(got))
		}
		for i, line := range got {
			if r, err := event.Decode([]byte(line)); err != nil || r.LogID != all[i].LogID || r.Seq != uint64(i+1) {
				t.Errorf("%v: line %d is %s: %v", args, i, line, err)
			}
		}
	}
	if got := lines(dir, "--range", "3-5"); len(got) != 3 {
		t.Errorf("range of sequences: %v", got)
	}
	if got := lines(dir, "--range", "/2000-01-01T00:00:00Z"); len(got) != 1 || got[0] != "" {
		t.Errorf("range of times: %v", got)
	}

	// --follow gives what comes later, also from a second process's folder.
	reader, writer := io.Pipe()
	p, _, stderr := program(nil, "--env-file=", "tail", dir, "--follow")
	p.Stdout = writer
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- Main(ctx, p); writer.Close() }()
	seen := bufio.NewScanner(reader)
	for i := range 30 {
		if i == 10 {
			if err := queue.Write(t.Context(), all[10:]); err != nil {
				t.Fatal(err)
			}
		}
		if !seen.Scan() || !strings.Contains(seen.Text(), `"log_id":"`+all[i].LogID+`"`) {
			t.Fatalf("line %d is %s: %v", i, seen.Text(), seen.Err())
		}
	}
	cancel()
	if c := <-code; c != ExitOK {
		t.Errorf("code %d: %s", c, stderr)
	}
}

func TestRange_isRead(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]spool.Range{
		"":                      {},
		"7":                     {From: 7, To: 7},
		"7-9":                   {From: 7, To: 9},
		"7-":                    {From: 7},
		"-9":                    {To: 9},
		"2026-11-24T12:00:00Z/": {Since: noon},
		"/2026-11-24T12:00:00Z": {Until: noon},
		"2026-11-24T13:00:00+01:00/2026-11-24T13:00:00Z": {Since: noon, Until: noon.Add(time.Hour)},
	} {
		if got, err := spoolRange("--range", text); err != nil || !got.Since.Equal(want.Since) || !got.Until.Equal(want.Until) || got.From != want.From || got.To != want.To {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "-", "/", "0-3", "9-7", "1-2-3", "2026-11-24/", "2026-11-24T12:00:00Z/2026-11-24T12:00:00Z", "1.5"} {
		if got, err := spoolRange("--refill", text); err == nil || !strings.Contains(err.Error(), "--refill is") {
			t.Errorf("%q: %+v, %v; want an error that names the flag", text, got, err)
		}
	}
}
