package audit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/spool"
)

// strictActs are the policies of the tests of Attempt.
var strictActs = []audit.PolicyRule{{Actions: []audit.Action{"LOGIN", "EXPORT"}, Policy: audit.Critical}}

func TestAttempt_intentThenOutcome(t *testing.T) {
	t.Parallel()
	for _, inTx := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			rec := &recorder{}
			cfg := audit.Config{Sink: rec, Policies: strictActs}
			if inTx {
				cfg = audit.Config{TxSink: (*txRecorder)(rec), Policies: strictActs}
			}
			db, _ := setup(t, plain, cfg)
			customer := &Customer{ID: 3, Name: "Ada"}
			var during []event.Record
			must(t, audit.Attempt(db, audit.Entry{Action: "EXPORT", Object: customer, Extra: audit.Fields{"format": "xlsx"}}, func(ctx context.Context) error {
				if actor, _ := audit.ActorFrom(ctx); actor.ID != "7" {
					t.Errorf("the act's actor is %+v", actor)
				}
				during = rec.take()
				customer.Name = "Bob"
				return nil
			}))
			if len(during) != 1 || during[0].Outcome != audit.OutcomeAttempted || during[0].ObjectRepr != "Ada" || string(during[0].ChangeMessage.JSON()) != `"Attempted: Exported object"` {
				t.Fatalf("before the act: %+v", during)
			}
			r := rec.only(t)
			if r.Outcome != audit.OutcomeSuccess || r.ObjectRepr != "Bob" || r.UserID != "7" || r.Extra["format"] != "xlsx" || string(r.ChangeMessage.JSON()) != `"Exported object"` {
				t.Errorf("after the act: %+v", r)
			}
			if id := r.Extra[audit.ExtraAttempt]; id == nil || id != during[0].Extra[audit.ExtraAttempt] || r.LogID == during[0].LogID {
				t.Errorf("attempts %v and %v", id, during[0].Extra)
			}

			// It fails, with a secret in its words.
			no := errors.New("no: password=" + canary)
			if err := audit.Attempt(db, audit.Entry{Action: "LOGIN", ObjectType: "session", Message: "with a key"}, func(context.Context) error { return no }); !errors.Is(err, no) {
				t.Errorf("the error of the act is %v", err)
			}
			records := rec.take()
			if len(records) != 2 || records[1].Outcome != audit.OutcomeFailure || records[1].Extra[audit.ExtraError] != "no: password=[REDACTED]" || string(records[1].ChangeMessage.JSON()) != `"Failed: with a key"` {
				t.Errorf("%+v", records)
			}

			// It panics, or its goroutine ends, and the client is gone meanwhile.
			ctx, cancel := context.WithCancel(db.Statement.Context)
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() {
					if v := recover(); v != "boom" {
						t.Errorf("recovered %v", v)
					}
				}()
				_ = audit.Attempt(db.WithContext(ctx), audit.Entry{Action: "LOGIN"}, func(context.Context) error { cancel(); panic("boom") })
			})
			wg.Wait()
			if records := rec.take(); len(records) != 2 || records[1].Outcome != audit.OutcomeFailure || !strings.Contains(fmt.Sprint(records[1].Extra[audit.ExtraError]), "boom") {
				t.Errorf("%+v", records)
			}
		})
	}
}

// TestAttempt_otherPolicies write the outcome only, and never keep the act from running.
func TestAttempt_otherPolicies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		sink := &recorder{}
		db, _ := setup(t, plain, audit.Config{Sink: sink})
		ran := 0
		act := func(context.Context) error { ran++; return nil }
		must(t, audit.Attempt(db, audit.Entry{Action: "LOGIN"}, act))
		if r := sink.only(t); r.Outcome != audit.OutcomeSuccess || r.Extra[audit.ExtraAttempt] != nil {
			t.Errorf("%+v", r)
		}
		sink.err = errors.New("down")
		must(t, audit.Attempt(db, audit.Entry{Action: "LOGIN"}, act))
		must(t, audit.Attempt(db.WithContext(audit.Skip(db.Statement.Context)), audit.Entry{Action: "LOGIN"}, act))
		if s := audit.From(db).Stats(); ran != 3 || s.Errors[audit.KindSink] != 1 || s.Skipped[""][audit.SkipAsked] != 1 {
			t.Errorf("ran %d times, %+v", ran, s)
		}
	})
}

// TestAttempt_refused: no intent, no act; and a lost outcome is told.
func TestAttempt_refused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		for _, inTx := range []bool{false, true} {
			down := errors.New("down")
			sink := &recorder{err: down}
			cfg := audit.Config{Sink: sink, Policies: strictActs, Registry: audit.NewRegistry()}
			if inTx {
				cfg.Sink, cfg.TxSink = nil, (*txRecorder)(sink)
			}
			db := plain
			if inTx { // a handle of its own
				db = open(t, plain.Dialector, &gorm.Config{})
			}
			db, _ = setup(t, db, cfg)
			ran := 0
			act := func(context.Context) error { ran++; return nil }
			err := audit.Attempt(db, audit.Entry{Action: "LOGIN"}, act)
			if !errors.Is(err, audit.ErrRefused) || !errors.Is(err, down) || ran != 0 {
				t.Errorf("in a transaction %v: %v, ran %d times", inTx, err, ran)
			}
			sink.err = nil
			err = audit.Attempt(db, audit.Entry{Action: "LOGIN"}, func(context.Context) error { sink.err = down; return nil })
			if err == nil || errors.Is(err, audit.ErrRefused) || !errors.Is(err, down) || !strings.Contains(err.Error(), "the trail has its intent only") {
				t.Errorf("in a transaction %v: %v", inTx, err)
			}
			if r := sink.only(t); r.Outcome != audit.OutcomeAttempted {
				t.Errorf("%+v", r)
			}
			// Log is strict as well.
			if err := audit.Log(db, audit.Entry{Action: "LOGIN"}); !errors.Is(err, down) {
				t.Errorf("Log: %v", err)
			}
			sink.err = nil
			must(t, audit.From(db).Shutdown(t.Context()))
			if err := audit.Attempt(db, audit.Entry{Action: "LOGIN"}, act); !errors.Is(err, audit.ErrRefused) || !errors.Is(err, audit.ErrShutdown) {
				t.Errorf("after Shutdown: %v", err)
			}
		}
	})
}

func TestAttempt_mistakes(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	never := func(ctx context.Context) error { t.Error("the act ran"); return ctx.Err() }
	if err := audit.Attempt(plain, audit.Entry{Action: "X"}, never); !errors.Is(err, audit.ErrNotInstalled) {
		t.Error(err)
	}
	db, rec := setup(t, plain, audit.Config{Policies: strictActs})
	for _, c := range []struct {
		entry audit.Entry
		act   func(context.Context) error
	}{{audit.Entry{}, never}, {audit.Entry{Action: "X", Outcome: "success"}, never}, {audit.Entry{Action: "X"}, nil}} {
		if err := audit.Attempt(db, c.entry, c.act); !errors.Is(err, audit.ErrEntry) {
			t.Errorf("%+v: %v", c.entry, err)
		}
	}
	must(t, db.Transaction(func(tx *gorm.DB) error {
		if err := audit.Attempt(tx, audit.Entry{Action: "X"}, never); !errors.Is(err, audit.ErrEntry) || !strings.Contains(err.Error(), "use Log") {
			t.Error(err)
		}
		if err := audit.Log(tx, audit.Entry{Action: "LOGIN"}); !errors.Is(err, audit.ErrEntry) || !strings.Contains(err.Error(), "use Attempt") {
			t.Error(err)
		}
		return audit.Log(tx, audit.Entry{Action: "X"})
	}))
	rec.expect(t, `X   ""`)
}

// attemptChild is what TestAttempt_killedBetween starts and kills: an act that does not end.
func attemptChild(mode, at string) error {
	d := sqlite.Open("file:" + filepath.Join(at, "t.db"))
	if mode == "postgres" {
		d = postgres.Open(at)
	}
	if mode == "spool" {
		d = sqlite.Open(":memory:")
	}
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	cfg := audit.Config{Registry: audit.NewRegistry(), Policies: strictActs}
	if mode == "spool" {
		queue, err := spool.Open(at, spool.Config{})
		if err != nil {
			return err
		}
		cfg.Sink = queue
	}
	if err := db.Use(audit.New(cfg)); err != nil {
		return err
	}
	return audit.Attempt(db, audit.Entry{Action: "LOGIN", ObjectType: "session"}, func(context.Context) error {
		fmt.Println("acting") // to the parent
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
}

// TestAttempt_killedBetween kills the process in the middle of an act: the intent is there, and no outcome.
func TestAttempt_killedBetween(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"sqlite", "postgres", "spool"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			at := t.TempDir()
			if mode == "postgres" {
				at = testservers.PostgresSchema(t)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), childMode+"="+mode, childAt+"="+at)
			cmd.Stderr = os.Stderr
			hold, err := cmd.StdinPipe() // ends with us, and the child with it
			must(t, err)
			defer func() { _ = hold.Close() }()
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			said, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || said != "acting\n" {
				t.Errorf("the child said %q, %v", said, err)
			}
			must(t, cmd.Process.Kill())
			if err := cmd.Wait(); err == nil {
				t.Error("the child ended by itself")
			}
			var outcomes []string
			if mode == "spool" {
				queue, err := spool.Open(at, spool.Config{})
				must(t, err)
				defer func() { must(t, queue.Close()) }()
				messages, err := queue.Read(t.Context(), 0, 10)
				must(t, err)
				for _, m := range messages {
					r, err := event.Decode(m.Payload)
					must(t, err)
					if r.Action == "LOGIN" {
						outcomes = append(outcomes, r.Outcome)
					}
				}
			} else {
				d := sqlite.Open("file:" + filepath.Join(at, "t.db"))
				if mode == "postgres" {
					d = postgres.Open(at)
				}
				for _, r := range newRecords(t, open(t, d, &gorm.Config{}))() {
					if r.Action == "LOGIN" {
						outcomes = append(outcomes, r.Outcome)
					}
				}
			}
			if fmt.Sprint(outcomes) != "[attempted]" {
				t.Errorf("the trail has %v, want the intent", outcomes)
			}
		})
	}
}
