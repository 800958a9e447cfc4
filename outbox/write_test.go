package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/outbox"
)

// audited gives a handle with the plugin that writes into the outbox.
func audited(t *testing.T, d database, cfg outbox.Config, policy audit.Policy) (*gorm.DB, *outbox.Outbox, *audit.Auditor) {
	t.Helper()
	db := d.connect(t, d.address(t))
	if err := db.AutoMigrate(&note{}); err != nil {
		t.Fatal(err)
	}
	cfg.Strict = policy == audit.Strict
	o := newOutbox(t, db, cfg)
	registry := audit.NewRegistry()
	if err := registry.Register(&note{}); err != nil {
		t.Fatal(err)
	}
	auditor := audit.New(audit.Config{Registry: registry, TxSink: o, Scope: audit.ScopeAll, Policy: policy, Logger: quiet})
	if err := db.Use(auditor); err != nil {
		t.Fatal(err)
	}
	return db.WithContext(t.Context()), o, auditor
}

// texts gives the texts of the notes whose creation is in the outbox.
func texts(t *testing.T, o *outbox.Outbox) string {
	t.Helper()
	q := openQueue(t, o, fast())
	defer q.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last, err := q.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for after := uint64(0); after < last; {
		messages, err := q.Read(ctx, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			after = m.Seq
			r, err := event.Decode(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Changes {
				if c.Field == "text" {
					all = append(all, strings.Trim(string(c.New), `"`))
				}
			}
		}
	}
	return strings.Join(all, " ")
}

// TestWriteTx_onlyWhatCommits is about everything that can end a transaction without COMMIT.
func TestWriteTx_onlyWhatCommits(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db, o, auditor := audited(t, d, outbox.Config{}, audit.Continue)
		undo := errors.New("undo")
		create := func(tx *gorm.DB, text string) {
			t.Helper()
			if err := tx.Create(&note{Text: text}).Error; err != nil {
				t.Error(err)
			}
		}
		create(db, "alone")
		_ = db.Transaction(func(tx *gorm.DB) error { create(tx, "rolledback"); return undo })
		_ = db.Transaction(func(tx *gorm.DB) error {
			create(tx, "before")
			_ = tx.Transaction(func(tx *gorm.DB) error { create(tx, "nested"); return undo })
			tx.SavePoint("s")
			create(tx, "savepoint")
			tx.RollbackTo("s")
			create(tx, "after")
			return nil
		})
		func() {
			defer func() { _ = recover() }()
			_ = db.Transaction(func(tx *gorm.DB) error { create(tx, "panicked"); panic("in the application") })
		}()
		for try := range 3 { // as after a deadlock
			err := db.Transaction(func(tx *gorm.DB) error {
				create(tx, "retried")
				if try < 2 {
					return undo
				}
				return nil
			})
			if err == nil {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		tx := db.WithContext(ctx).Begin()
		create(tx, "cancelled")
		cancel()
		_ = tx.Commit()
		create(db, "last")
		if got := texts(t, o); got != "alone before after retried last" {
			t.Errorf("the outbox has %q", got)
		}
		if s := auditor.Stats(); s.Emitted != 5 || s.Failed != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWriteTx_manyRecordsAreFewRows(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		o := newOutbox(t, db, outbox.Config{})
		many := records(1, 1203)
		many[5].Reason = strings.Repeat("long ", 40_000)
		write(t, db, o, many...)
		var rows int64
		if err := db.Raw("SELECT count(*) FROM " + o.Table()).Scan(&rows).Error; err != nil || rows < 3 || rows > 5 {
			t.Errorf("%d rows (%v), want 500 records in a row, or 256 KiB", rows, err)
		}
		q := openQueue(t, o, fast())
		if got := readAll(t, q, 0); len(got) != len(many) || got[0] != "id-1" || got[1202] != "id-1203" {
			t.Errorf("%d records", len(got))
		}
	})
}

// TestWriteTx_tableMissing takes the table away under both policies.
func TestWriteTx_tableMissing(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]audit.Policy{"continue": audit.Continue, "strict": audit.Strict} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDatabase(t, func(t *testing.T, d database) {
				db, o, auditor := audited(t, d, outbox.Config{}, policy)
				if err := db.Exec("DROP TABLE " + o.Table()).Error; err != nil {
					t.Fatal(err)
				}
				err := db.Transaction(func(tx *gorm.DB) error {
					if err := tx.Create(&[]note{{Text: "a"}, {Text: "b"}}).Error; err != nil {
						return err
					}
					return tx.Create(&note{Text: "c"}).Error
				})
				var notes int64
				if err := db.Model(&note{}).Count(&notes).Error; err != nil {
					t.Fatal(err)
				}
				var lost *outbox.LostError
				switch {
				case policy == audit.Strict && (!errors.As(err, &lost) || lost.Records != 3 || notes != 0):
					t.Errorf("error %v and %d notes, want 3 records lost and no note", err, notes)
				case policy == audit.Continue && (err != nil || notes != 3 || auditor.Stats().Failed != 3 || auditor.Stats().Emitted != 0):
					t.Errorf("error %v and %d notes, want none and 3; %+v", err, notes, auditor.Stats())
				}
			})
		})
	}
}

// TestWriteTx_waitsForALockOnlySoLong locks the table from another connection.
func TestWriteTx_waitsForALockOnlySoLong(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		lock := map[string]string{"postgres": "LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", "mariadb": "LOCK TABLES %s WRITE", "mysql": "LOCK TABLES %s WRITE"}[d.name]
		if lock == "" {
			return // SQLite has the connection's busy_timeout
		}
		db, o, auditor := audited(t, d, outbox.Config{LockTimeout: 30 * time.Millisecond}, audit.Continue)
		// Above the plugin's pool, so that it stays out of the count.
		raw, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		locker, err := raw.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer locker.Close()
		for _, statement := range []string{"BEGIN", fmt.Sprintf(lock, o.Table())} {
			if _, err := locker.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Create(&note{Text: "locked out"}).Error; err != nil {
			t.Errorf("the application's write: %v", err)
		}
		end := "ROLLBACK"
		if d.name != "postgres" {
			end = "UNLOCK TABLES"
		}
		if _, err := locker.ExecContext(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		if s := auditor.Stats(); s.Failed != 1 {
			t.Errorf("%+v, want one failed", s)
		}
		if err := db.Create(&note{Text: "let in"}).Error; err != nil {
			t.Error(err)
		}
		if got := texts(t, o); got != "let in" {
			t.Errorf("the outbox has %q", got)
		}
	})
}

func TestWriteTx_oneRecordThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		for _, strict := range []bool{false, true} {
			o := newOutbox(t, db, outbox.Config{Strict: strict})
			var lost *outbox.LostError
			err := db.Transaction(func(tx *gorm.DB) error {
				err := o.WriteTx(t.Context(), tx.Statement.ConnPool, []event.Record{record("a"), record(""), record("b")})
				if !errors.As(err, &lost) || !errors.Is(err, event.ErrInvalid) || lost.Lost() != 1 {
					t.Errorf("%v, want one lost", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := readAll(t, openQueue(t, newOutbox(t, db, outbox.Config{}), fast()), 0); strings.Join(got, " ") != "a b" {
			t.Errorf("%v, want a and b of the one that is not strict", got)
		}
	})
}

func TestNew_wrongConfig(t *testing.T) {
	t.Parallel()
	d := kinds()[0]
	db := d.connect(t, d.address(t))
	_, err := outbox.New(db, outbox.Config{Table: "a b", Service: "x/y"})
	for _, field := range []string{"Config.Table", "Config.Service"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	o := newOutbox(t, db, outbox.Config{})
	_, err = o.Queue(t.Context(), outbox.QueueConfig{MinPoll: 2, MaxPoll: 1, Takeover: -1, ClaimRows: -1, Retention: -1, Timeout: -1})
	for _, field := range []string{"MinPoll", "Takeover", "ClaimRows", "Retention", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), "QueueConfig."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

// TestNew_tables is about tables that are not there, are somebody else's, or of a newer version, and about
// several processes that make them at once.
func TestNew_tables(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		address := d.address(t)
		db := d.connect(t, address)
		if _, err := outbox.New(db, outbox.Config{SkipMigrate: true}); !errors.Is(err, outbox.ErrTable) {
			t.Errorf("without tables: %v, want ErrTable", err)
		}
		if err := db.Exec("CREATE TABLE foreign_table (id int)").Error; err != nil {
			t.Fatal(err)
		}
		if _, err := outbox.New(db, outbox.Config{Table: "foreign_table"}); !errors.Is(err, outbox.ErrTable) {
			t.Errorf("somebody else's table: %v, want ErrTable", err)
		}
		errs := make(chan error)
		for range 4 {
			go func() {
				_, err := outbox.New(db, outbox.Config{Service: "shop"})
				errs <- err
			}()
		}
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		o := newOutbox(t, db, outbox.Config{SkipMigrate: true})
		if s := stats(t, o); !strings.HasPrefix(s.Producer, "shop/") {
			t.Errorf("the producer is %q", s.Producer)
		}
		statements, err := outbox.Migration(db, outbox.Config{Table: "by_hand"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if err := db.Exec(s).Error; err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		write(t, db, newOutbox(t, db, outbox.Config{Table: "by_hand", SkipMigrate: true}), record("a"))
		write(t, db, o, record("kept"))
		if err := db.Exec("UPDATE audit_outbox_meta SET value = '99' WHERE name = 'schema_version'").Error; err != nil {
			t.Fatal(err)
		}
		if _, err := outbox.New(db, outbox.Config{}); !errors.Is(err, outbox.ErrTable) {
			t.Errorf("a newer version: %v, want ErrTable", err)
		}
		if s := stats(t, o); s.Pending != 1 {
			t.Errorf("the newer outbox was touched: %+v", s)
		}
	})
}
