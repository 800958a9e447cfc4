package outbox_test

import (
	"testing"

	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/stream/memory"
)

// TestAccounting: every record that was written is in the account, before it has a sequence, on the
// stream, and in the store.
func TestAccounting(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		o := newOutbox(t, db, outbox.Config{})
		account := func(delivered accounting.Delivered) accounting.Account {
			t.Helper()
			q, err := o.Accounting(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			a := accounting.Balance(q, delivered)
			if err := a.Check(); err != nil {
				t.Error(err)
			}
			return a
		}
		write(t, db, o, records(1, 10)...)
		if a := account(accounting.Delivered{}); a.Emitted != 10 || a.Pending != 10 || a.InQueue != 10 || a.PendingBytes == 0 {
			t.Errorf("before the relay: %+v", a)
		}
		m := memory.New(memory.Config{})
		service := startRelay(t, openQueue(t, o, fast()), dial(m))
		for i := 11; i <= 50; i++ {
			write(t, db, o, records(i, i)...)
			if a := account(accounting.Delivered{}); a.Emitted < uint64(i) || a.Pending != a.Emitted {
				t.Errorf("after %d records: %+v", i, a)
			}
		}
		if err := service.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		drained(t, o)
		if a := account(accounting.Delivered{Indexed: 49, DeadLettered: 1, Highest: 50}); a.Emitted != 50 || a.Pending != 0 || a.Producer == "" {
			t.Errorf("at the end: %+v", a)
		}
	})
}
