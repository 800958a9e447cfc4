package tx

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/testservers"
)

func TestParse_whatElseControlsTheTransaction(t *testing.T) {
	t.Parallel()
	off, on := []control{{verb: verbAutocommitOff}}, []control{{verb: verbAutocommitOn}}
	for text, want := range map[string][]control{
		"PREPARE TRANSACTION 'x'":                 {{verb: verbPrepare}},
		"prepare transaction as select 1":         nil,
		"PREPARE s FROM 'COMMIT'":                 nil,
		"XA START 'a','b',1":                      {{verb: verbBegin}},
		"xa begin 'a'":                            {{verb: verbBegin}},
		"XA END 'a'":                              {{verb: verbXAEnd}},
		"XA PREPARE 'a'":                          {{verb: verbPrepare}},
		"XA COMMIT 'a'":                           nil,
		"XA COMMIT 'a', 'b', 1 ONE PHASE":         {{verb: verbCommit}},
		"XA ROLLBACK 'a'":                         {{verb: verbRollback}},
		"XA RECOVER":                              nil,
		"XA":                                      nil,
		"SET autocommit=0":                        off,
		"set session autocommit := off":           off,
		"SET @@session.autocommit = FALSE;":       off,
		"SET sql_mode = '', autocommit = 0":       off,
		"SET autocommit = ?":                      off,
		"SET autocommit = 1":                      on,
		"SET @@autocommit = ON":                   on,
		"SET autocommit = DEFAULT":                on,
		"SET `autocommit` = 0, autocommit = TRUE": on,
		"SET GLOBAL autocommit = 0":               nil,
		"SET @@global.autocommit = 0":             nil,
		"SET @autocommit = 0":                     nil,
		"SET x = @@autocommit":                    nil,
		"SET search_path = a; SET autocommit = 0": off,
		"SET x = 1; COMMIT":                       {{verb: verbCommit}},
		"SET x":                                   nil,
	} {
		if diff := cmp.Diff(want, parse(text, false), cmp.AllowUnexported(control{})); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
	if got := xid(" XA /* c */ END 'a', X'00', 7 ;\n"); got != "'a', X'00', 7" {
		t.Error(got)
	}
}

func TestLeavesOpen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"BEGIN": true, "begin; INSERT INTO a VALUES (1)": true, "START TRANSACTION READ ONLY": true, "XA START 'x'": true,
		"BEGIN; INSERT INTO a VALUES (1); COMMIT": false, "BEGIN; ROLLBACK": false, "BEGIN; COMMIT AND CHAIN": true,
		"BEGIN; COMMIT; BEGIN": true, "SET autocommit = 0": true, "SET autocommit = 0; COMMIT": true,
		"SET autocommit = 0; SET autocommit = 1": false, "SET autocommit = 1": false, "COMMIT": false, "SELECT 1": false,
		"SAVEPOINT a": true, "SAVEPOINT a; SAVEPOINT b; RELEASE b": true, "SAVEPOINT a; RELEASE a": false, "SAVEPOINT a; ROLLBACK": false,
	} {
		if got := LeavesOpen(text, true); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if LeavesOpen("SAVEPOINT a", false) {
		t.Error("a savepoint begins nothing elsewhere")
	}
	for text, want := range map[string]bool{"SET autocommit = 0": true, "SET autocommit = 1": false, "BEGIN": false} {
		if got := LeavesAutocommitOff(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func openMariaDB(t *testing.T, dsn string) (*gorm.DB, *log) {
	t.Helper()
	db, l := open2(t, mysql.Open(dsn), false)
	h := l.hooks()
	h.CommitsDDL = true
	db.Config.ConnPool.(*Pool).hooks = h
	return db, l
}

// What PREPARE leaves to somebody else is in doubt, whatever becomes of it.
func TestPrepare_isInDoubt(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		own := testservers.Own(t, "postgres")
		own.Run("postgres", "psql", "-c", "ALTER SYSTEM SET max_prepared_transactions = 10")
		own.Stop("postgres")
		own.Start("postgres")
		db, l := open2(t, postgres.Open(own.Env("POSTGRES_DSN")), false)
		for i, end := range []string{"COMMIT PREPARED 'a'", "ROLLBACK PREPARED 'a'"} {
			x := db.Begin()
			add(t, x, i)
			if err := x.Exec("PREPARE TRANSACTION 'a'").Error; err != nil {
				t.Fatal(err)
			}
			if err := x.Rollback().Error; err != nil {
				t.Error(err)
			}
			if err := db.Exec(end).Error; err != nil {
				t.Error(err)
			}
		}
		failed := db.Begin()
		add(t, failed, "failed")
		_ = failed.Session(&gorm.Session{}).Exec("no SQL")
		if err := failed.Session(&gorm.Session{}).Exec("PREPARE TRANSACTION 'b'").Error; err != nil {
			t.Error(err) // it says ROLLBACK
		}
		_ = failed.Rollback()
		expect(t, l, []Item{0, 1}, nil, []Item{0, 1}, []Item{"failed"})
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		db, l := openMariaDB(t, testservers.MariaDB(t))
		for i, end := range []string{"XA COMMIT ", "XA ROLLBACK "} {
			id := fmt.Sprintf("'tx-%x'", rand.Uint64())
			connection(t, db, func(c *gorm.DB) {
				do(t, c, "XA START "+id, true)
				add(t, c, i)
				do(t, c, "XA END "+id, true)
				do(t, c, "XA PREPARE 'other'", false)
				do(t, c, "XA PREPARE "+id, true)
				do(t, c, end+id, true)
			})
		}
		expect(t, l, []Item{0, 1}, nil, []Item{0, 1}, nil)
	})
}

// connection runs f on one connection that is observed.
func connection(t *testing.T, db *gorm.DB, f func(c *gorm.DB)) {
	t.Helper()
	err := db.Connection(func(c *gorm.DB) error {
		c.Statement.ConnPool = Wrap(c.Statement.ConnPool, db.Config.ConnPool.(*Pool).hooks)
		f(c)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func do(t *testing.T, db *gorm.DB, text string, succeeds bool) {
	t.Helper()
	if _, err := db.Statement.ConnPool.ExecContext(t.Context(), text); (err == nil) != succeeds {
		t.Errorf("%s: %v", text, err)
	}
}

func expect(t *testing.T, l *log, before, released, doubts, discarded []Item) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, c := range map[string][2][]Item{
		"before": {before, l.before}, "released": {released, l.released}, "in doubt": {doubts, l.doubts}, "discarded": {discarded, l.discarded},
	} {
		if diff := cmp.Diff(c[0], c[1]); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// A step before COMMIT that fails rolls back, also where a text ends a transaction in its own way.
func TestEndText_refusedBefore_rollsBack(t *testing.T) {
	t.Parallel()
	db, l := openMariaDB(t, testservers.MariaDB(t))
	l.refuse = errNo
	for _, text := range []string{"BEGIN", "CREATE TABLE audit_never (a int)", "COMMIT"} {
		x := db.Begin()
		add(t, x, text)
		if err := x.Exec(text).Error; err == nil {
			t.Errorf("%s: no error", text)
		}
		_ = x.Rollback()
	}
	id := fmt.Sprintf("'tx-%x', 'b', 3", rand.Uint64())
	connection(t, db, func(c *gorm.DB) {
		do(t, c, "XA START "+id, true)
		add(t, c, "xa")
		do(t, c, "XA END "+id, false)
		do(t, c, "BEGIN", true) // it is gone
		do(t, c, "ROLLBACK", true)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.discarded) != 4 || len(l.released) != 0 || len(l.doubts) != 0 {
		t.Error(l.discarded, l.released, l.doubts)
	}
}

// A session that a driver is followed through does the same.
func TestSession_textsOfMySQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, l := openMariaDB(t, testservers.MariaDB(t))
	pool := db.Config.ConnPool.(*Pool)
	h := pool.hooks
	s := NewSession(pool.ConnPool)
	ok := func() error { return nil }
	send := func(texts ...string) {
		for _, text := range texts {
			if err := s.Control(text, ok); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	send("BEGIN", "SAVEPOINT a", "CREATE TABLE b (c int)")
	if s.Unit(ctx, h) != nil {
		t.Error("a definition has ended it")
	}
	send("BEGIN", "SAVEPOINT b", "ROLLBACK TO a")
	if u := s.Unit(ctx, h); u == nil || len(u.marks) != 0 {
		t.Errorf("%+v", u)
	}
	send("ROLLBACK", "SET autocommit = 0")
	if u := s.Unit(ctx, h); u == nil || !u.Add(1, "a") {
		t.Error("nothing is open")
	}
	send("ROLLBACK")
	if u := s.Unit(ctx, h); u == nil || !u.Open() {
		t.Error("a rollback begins the next one")
	}
	send("SET autocommit = 1")
	if s.Unit(ctx, h) != nil {
		t.Error("it has ended")
	}
	expect(t, l, nil, nil, nil, []Item{"a"})
}
