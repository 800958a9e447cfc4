package outbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/stream/memory"
)

// room is a database in which the outbox can be full.
type room struct {
	address func(t testing.TB) string
	// narrow leaves no more room, widen ends that.
	narrow, widen func(t *testing.T, db *gorm.DB)
}

// fullSize is what no file may grow beyond: more than those of PostgreSQL's log have.
const fullSize = 20 << 20

// limitFiles bounds the size of the files that a process writes, as a quota does.
func limitFiles(t *testing.T, pid int, size string) {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	prlimit := exec.CommandContext(t.Context(), "prlimit", fmt.Sprintf("--pid=%d", pid), "--fsize="+size+":")
	if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != os.Getuid() {
		prlimit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := prlimit.CombinedOutput(); err != nil {
		t.Fatalf("limit the files of process %d: %v\n%s", pid, err, out)
	}
}

// fill adds rows until the outbox, in PostgreSQL, has nearly the size that is allowed.
func fill(t *testing.T, db *gorm.DB, o *outbox.Outbox) {
	t.Helper()
	const each = 1900 // bytes: what is longer is put elsewhere, and four of them fill a page
	filling := "INSERT INTO " + o.Table() + " (created, records, body) SELECT 0, 1, repeat('x', ?) FROM generate_series(1, ?)"
	if err := db.Exec(filling, each, (fullSize-128<<10)/2048).Error; err != nil {
		t.Fatal(err)
	}
}

// TestWriteTx_tableFull leaves no room for another row of the outbox, though for notes. Under Continue the
// notes are written and their records counted, under Strict neither is there, and the error says why.
func TestWriteTx_tableFull(t *testing.T) {
	t.Parallel()
	for i, d := range kinds()[:3] {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			place := []func(t *testing.T, d database) room{fullSQLite, fullPostgres, fullMariaDB}[i](t, d)
			for name, policy := range map[string]audit.Policy{"continue": audit.Continue, "strict": audit.Strict} {
				t.Run(name, func(t *testing.T) {
					tableFull(t, d, place, policy)
				})
			}
		})
	}
}

func tableFull(t *testing.T, d database, place room, policy audit.Policy) {
	t.Helper()
	address := place.address(t)
	plain := d.connect(t, address)
	if err := plain.Migrator().DropTable(&note{}, "audit_outbox", "audit_outbox_meta", "audit_outbox_queue", "audit_outbox_state", "audit_outbox_quarantine"); err != nil {
		t.Fatal(err)
	}
	d.address = func(testing.TB) string { return address }
	db, o, auditor := audited(t, d, outbox.Config{}, policy)
	if raw, err := db.DB(); err == nil {
		raw.SetMaxOpenConns(2) // the one that is used has the limit; a queue wants another
	}
	if d.name == "postgres" {
		fill(t, plain, o)
	}
	place.narrow(t, db)
	var lost *outbox.LostError
	refused, full := 0, 0
	for i := 0; full < 3; i++ {
		if i > 10_000 {
			t.Fatal("there is always room")
		}
		before := auditor.Stats().Failed
		text := fmt.Sprintf("note %d", i)
		err := db.Transaction(func(tx *gorm.DB) error { return tx.Create(&[]note{{Text: text}, {Text: text + " too"}}).Error })
		failed := auditor.Stats().Failed - before
		switch {
		case err == nil && failed == 0: // there is room
		case policy == audit.Continue && err == nil && failed == 2:
			full++
		case policy == audit.Strict && errors.As(err, &lost) && lost.Records == 2:
			full++
		case err != nil && failed == 0: // there is none for the note either
			if refused++; refused > 1000 {
				t.Fatalf("no room for notes: %v", err)
			}
		default:
			t.Fatalf("error %v, %d failed", err, failed)
		}
	}
	place.widen(t, db)
	if err := plain.Exec("DELETE FROM " + o.Table() + " WHERE created = 0").Error; err != nil {
		t.Fatal(err)
	}
	last := auditor.Stats()
	if err := db.Create(&note{Text: "there is room"}).Error; err != nil {
		t.Fatal(err)
	}
	if s := auditor.Stats(); s.Failed != last.Failed || s.Emitted != last.Emitted+1 {
		t.Errorf("%+v, before %+v", s, last)
	}
	m := memory.New(memory.Config{})
	service := startRelay(t, openQueue(t, o, fast()), dial(m))
	drained(t, o)
	if err := service.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	there := notes(t, plain)
	recorded := 0
	for _, message := range m.Messages() {
		r, err := event.Decode(message.Payload)
		if err != nil {
			t.Fatal(err)
		}
		recorded++
		for _, c := range r.Changes {
			if text := strings.Trim(string(c.New), `"`); c.Field == "text" && !there[text] {
				t.Errorf("%q is recorded, and is not in the database", text)
			}
		}
	}
	failed := int(auditor.Stats().Failed)
	if policy == audit.Strict {
		failed = 0 // of transactions that failed
	}
	if len(there) != recorded+failed || policy == audit.Continue && failed != 2*full {
		t.Errorf("%d notes, %d recorded, %d failed", len(there), recorded, failed)
	}
	t.Logf("%d notes, %d records, %d times full, %d times for the note too; the last: %v", len(there), recorded, full, refused, lost)
}

// fullSQLite bounds the number of pages.
func fullSQLite(_ *testing.T, d database) room {
	pages := func(t *testing.T, db *gorm.DB, n string) {
		t.Helper()
		raw, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		raw.SetMaxOpenConns(1) // the limit is the connection's
		var now int
		if err := raw.QueryRowContext(t.Context(), "PRAGMA max_page_count = "+n).Scan(&now); err != nil {
			t.Fatal(err)
		}
	}
	return room{
		address: d.address,
		narrow: func(t *testing.T, db *gorm.DB) {
			t.Helper()
			pages(t, db, "30")
		},
		widen: func(t *testing.T, db *gorm.DB) {
			t.Helper()
			pages(t, db, "100000")
		},
	}
}

// fullPostgres limits all processes of a server of its own that serve a connection.
func fullPostgres(t *testing.T, _ database) room {
	t.Helper()
	limit := func(size string) func(t *testing.T, db *gorm.DB) {
		return func(t *testing.T, db *gorm.DB) {
			t.Helper()
			var pids []int
			if err := db.Raw("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'").Scan(&pids).Error; err != nil {
				t.Fatal(err)
			}
			for _, pid := range pids {
				limitFiles(t, pid, size)
			}
		}
	}
	dsn := testservers.Own(t, "postgres").Env("POSTGRES_DSN")
	return room{func(testing.TB) string { return dsn }, limit(strconv.Itoa(fullSize)), limit("unlimited")}
}

// fullMariaDB has the server give the error of a full table: with a limit on its files it ends itself.
func fullMariaDB(_ *testing.T, d database) room {
	run := func(statement string) func(t *testing.T, db *gorm.DB) {
		return func(t *testing.T, db *gorm.DB) {
			t.Helper()
			if err := db.Exec(statement).Error; err != nil {
				t.Fatal(err)
			}
		}
	}
	return room{
		address: d.address,
		narrow: run("CREATE TRIGGER outbox_full BEFORE INSERT ON audit_outbox FOR EACH ROW " +
			"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'"),
		widen: run("DROP TRIGGER outbox_full"),
	}
}
