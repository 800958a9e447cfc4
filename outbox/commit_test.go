package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// servers gives the databases that are not in the process, between which and the application a connection
// can be lost.
func servers() (all []database) {
	for _, d := range kinds() {
		if d.name != "sqlite" {
			all = append(all, d)
		}
	}
	return all
}

// armed is the outbox; near is called when the records are in the transaction, and COMMIT is next.
type armed struct {
	*outbox.Outbox
	near func()
}

func (a *armed) WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error {
	return a.WriteEncodedTx(ctx, conn, records, nil)
}

func (a *armed) WriteEncodedTx(ctx context.Context, conn gorm.ConnPool, records []event.Record, encoded [][]byte) error {
	err := a.Outbox.WriteEncodedTx(ctx, conn, records, encoded)
	a.near()
	return err
}

// auditedBy gives a handle on the database at the address with the plugin and that sink.
func auditedBy(t *testing.T, d database, address string, sink audit.TxSink) *gorm.DB {
	t.Helper()
	db := d.connect(t, address)
	registry := audit.NewRegistry()
	if err := registry.Register(&note{}); err != nil {
		t.Fatal(err)
	}
	auditor := audit.New(audit.Config{Registry: registry, TxSink: sink, Scope: audit.ScopeAll, Policy: audit.Strict, Logger: quiet})
	if err := db.Use(auditor); err != nil {
		t.Fatal(err)
	}
	return db.WithContext(t.Context())
}

// notes gives the texts of the notes in the database.
func notes(t *testing.T, db *gorm.DB) map[string]bool {
	t.Helper()
	var all []string
	if err := db.Model(&note{}).Pluck("text", &all).Error; err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, text := range all {
		there[text] = true
	}
	return there
}

// wantCreations checks that each note has exactly one record, and that there are no others.
func wantCreations(t *testing.T, messages []stream.Message, notes map[string]bool) {
	t.Helper()
	recorded := make(map[string]bool)
	for _, m := range messages {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Changes {
			if c.Field != "text" {
				continue
			}
			text := strings.Trim(string(c.New), `"`)
			if recorded[text] || !notes[text] {
				t.Errorf("%.60q is on the stream, in the database: %t, before: %t", text, notes[text], recorded[text])
			}
			recorded[text] = true
		}
	}
	for text := range notes {
		if !recorded[text] {
			t.Errorf("%.60q is in the database, and not on the stream", text)
		}
	}
}

// TestCommit_connectionLost loses the connection in COMMIT, before it reaches the server or before its
// answer comes back, and after each so many bytes of a transaction. Nobody tells the application what has
// become of it; the outbox has the records exactly if the change is there.
func TestCommit_connectionLost(t *testing.T) {
	t.Parallel()
	for _, d := range servers() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			address := d.address(t)
			plain := d.connect(t, address)
			if err := plain.AutoMigrate(&note{}); err != nil {
				t.Fatal(err)
			}
			o := newOutbox(t, plain, outbox.Config{})
			by, proxy := tcpproxy.Through(t, address)
			sink := &armed{newOutbox(t, d.connect(t, by), outbox.Config{Strict: true}), func() {}}
			db := auditedBy(t, d, by, sink)
			m := memory.New(memory.Config{})
			startRelay(t, openQueue(t, o, fast()), dial(m)) // not through the proxy

			create := func(text string) error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Create(&note{Text: text}).Error })
			}
			type fate struct {
				text     string
				happened bool
			}
			var sure []fate
			for round := range count(5, 50) {
				for _, happened := range []bool{true, false} {
					direction := tcpproxy.ToServer
					if happened {
						direction = tcpproxy.ToClient
					}
					text := fmt.Sprintf("commit %d happened %t", round, happened)
					sink.near = func() { proxy.OnNext(direction, proxy.Cut) }
					if err := create(text); err == nil {
						t.Errorf("%s: no error", text)
					}
					sink.near = func() {}
					proxy.Forward()
					sure = append(sure, fate{text, happened})
				}
			}
			cuts := 0
			const most = 3000 // bytes: more than a transaction and a new connection take
			for after := 1; ; after += count(97, 7) {
				proxy.CutAfter(after)
				text := fmt.Sprintf("cut after %d bytes", after)
				err := create(text)
				proxy.Forward()
				if err != nil {
					cuts++
					continue
				}
				sure = append(sure, fate{text, true})
				if after > most {
					break
				}
			}
			if err := create("last"); err != nil {
				t.Error(err)
			}
			var there map[string]bool
			var messages []stream.Message
			// A COMMIT that was cut may have reached the server, which is on its way with it.
			await.Until(t, "each note to have its record", func() bool {
				there, messages = notes(t, plain), m.Messages()
				return len(messages) == len(there)
			})
			drained(t, o)
			for _, f := range sure {
				if there[f.text] != f.happened {
					t.Errorf("%q is in the database: %t", f.text, there[f.text])
				}
			}
			wantCreations(t, messages, there)
			if cuts == 0 || !there["last"] {
				t.Errorf("%d transactions were cut", cuts)
			}
			t.Logf("%d notes; %d connections lost in COMMIT, %d anywhere", len(there), 2*count(5, 50), cuts)
		})
	}
}

// TestDeadlock has two transactions that wait for each other, of which the server ends one; it is tried
// again. Each change that was committed has one record, and the one that was undone has none.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	for _, d := range servers() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db, o, _ := audited(t, d, outbox.Config{}, audit.Strict)
			old := []note{{Text: "one"}, {Text: "other"}}
			if err := db.Create(&old).Error; err != nil {
				t.Fatal(err)
			}
			rounds := count(3, 30)
			victims := 0
			for round := range rounds {
				victims += deadlock(t, db, old, round)
			}
			if victims < rounds {
				t.Errorf("%d victims in %d rounds", victims, rounds)
			}
			m := memory.New(memory.Config{})
			startRelay(t, openQueue(t, o, fast()), dial(m))
			drained(t, o)
			wantCreations(t, creations(t, m.Messages()), notes(t, db))
		})
	}
}

// deadlock runs two transactions that make a note each and lock both old ones, in opposite order; it
// gives how often the server ended one of them.
func deadlock(t *testing.T, db *gorm.DB, old []note, round int) (victims int) {
	t.Helper()
	var mu sync.Mutex
	var both, all sync.WaitGroup
	both.Add(2) // have the lock that the other one wants
	for i := range 2 {
		all.Go(func() {
			for try := 0; ; try++ {
				err := db.Transaction(func(tx *gorm.DB) error {
					if err := tx.Create(&note{Text: fmt.Sprintf("round %d of %d try %d", round, i, try)}).Error; err != nil {
						return err
					}
					for step, id := range []int64{old[i].ID, old[1-i].ID} {
						if err := tx.Model(&note{}).Where("id = ?", id).Update("text", gorm.Expr("text")).Error; err != nil {
							return err
						}
						if step == 0 && try == 0 {
							both.Done()
							both.Wait()
						}
					}
					return nil
				})
				if err == nil {
					return
				}
				mu.Lock()
				victims++
				mu.Unlock()
				// Tried again at once, it may be the victim again.
				if try > 100 || !strings.Contains(strings.ToLower(err.Error()), "deadlock") {
					t.Errorf("round %d, try %d: %v", round, try, err)
					return
				}
			}
		})
	}
	all.Wait()
	return victims
}

// creations gives the messages that are about a new note.
func creations(t *testing.T, messages []stream.Message) (all []stream.Message) {
	t.Helper()
	for _, m := range messages {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if r.Action == event.ActionAdd {
			all = append(all, m)
		}
	}
	return all
}
