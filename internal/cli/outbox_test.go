package cli

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/stream/rabbit"
)

// outboxFile makes an outbox in a file, with records in it.
func outboxFile(t *testing.T, records []event.Record) (path string, o *outbox.Outbox) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	db, err := gorm.Open(sqlite.Open(path+"?_pragma=busy_timeout(10000)&_txlock=immediate"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if o, err = outbox.New(db, outbox.Config{Table: "events"}); err != nil {
		t.Fatal(err)
	}
	err = db.Transaction(func(tx *gorm.DB) error { return o.WriteTx(t.Context(), tx.Statement.ConnPool, records) })
	if err != nil {
		t.Fatal(err)
	}
	return path, o
}

func TestRelay_outbox(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rabbittest.Declare(t, r.source, rabbit.Limits{})
	path, o := outboxFile(t, records(50))
	r.variables["AUDIT_OUTBOX_DSN"], r.variables["AUDIT_OUTBOX_TABLE"] = "sqlite:"+path, "events"
	open := map[string]func(string) gorm.Dialector{"sqlite": func(address string) gorm.Dialector {
		return sqlite.Open(strings.TrimPrefix(address, "sqlite:") + "?_pragma=busy_timeout(10000)&_txlock=immediate")
	}}

	p, _, stderr := program(r.variables, "--env-file=", "relay", "--outbox-retention", "1h")
	p.Databases = open
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- Main(ctx, p) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if s, err := o.Stats(t.Context()); err == nil && s.Acknowledged == 50 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not confirmed\n%s", stderr.String())
		}
	}
	cancel()
	if code := <-done; code != ExitOK {
		t.Errorf("code %d\n%s", code, stderr.String())
	}

	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--outbox-refill", "11-30"}, ExitOK, "20 records sent again"},
		{[]string{"--outbox-refill", "40-60"}, ExitFailed, "from 40 to 60"},
		{[]string{"--outbox-refill", "9"}, ExitUsage, "FROM-TO"},
		{[]string{"--outbox-renew"}, ExitOK, "is audit/"},
		{[]string{"--spool", "x", "--outbox", "sqlite:y"}, ExitUsage, "both set"},
		{[]string{"--outbox", "oracle:y", "--outbox-retention", "-1s"}, ExitUsage, "--outbox (or AUDIT_OUTBOX_DSN) begins with \"oracle\""},
		{[]string{"--outbox", "sqlite:" + path, "--outbox-table", "none"}, ExitFailed, "does not exist"},
	} {
		p, stdout, stderr := program(r.variables, append([]string{"--env-file=", "relay"}, c.args...)...)
		p.Databases = open
		if code := Main(t.Context(), p); code != c.code || !strings.Contains(stdout.String()+stderr.String(), c.says) {
			t.Errorf("%v: code %d, want %d and %q\n%s%s", c.args, code, c.code, c.says, stdout.String(), stderr.String())
		}
	}
	got := rabbittest.Messages(t, r.source)
	for i, m := range got {
		want := i
		if i >= 50 {
			want = 10 + i - 50
		}
		if m.ID != "id-"+strconv.Itoa(want) {
			t.Fatalf("message %d is %s", i, m.ID)
		}
	}
	if len(got) != 70 {
		t.Errorf("%d messages, want 50, and 20 of them again", len(got))
	}
}
