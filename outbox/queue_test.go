package outbox_test

import (
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay/queuetest"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		queuetest.Run(t, func(t *testing.T) queuetest.Backend {
			db := d.connect(t, d.address(t))
			o := newOutbox(t, db, outbox.Config{})
			return queuetest.Backend{
				Open: func(t testing.TB) queuetest.Queue {
					t.Helper()
					return openQueue(t, o, fast())
				},
				Write: func(t testing.TB, records ...event.Record) {
					t.Helper()
					write(t, db, o, records...)
				},
				Quarantined: func(t testing.TB) int {
					t.Helper()
					return int(stats(t, o).Quarantined)
				},
			}
		})
	})
}
