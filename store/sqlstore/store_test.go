package sqlstore_test

import (
	"testing"

	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
	"github.com/gormtrail/audit/store/storetest"
)

var (
	_ store.Searcher = (*sqlstore.Store)(nil)
	_ store.Writer   = (*sqlstore.Store)(nil)
)

func TestStore_conforms(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				s := newStore(t, d.open(t), sqlstore.Config{})
				h := storetest.Harness{Store: s}
				if d.name == "sqlite" {
					// Else so few records are found by reading what is not yet indexed, as in memory.
					h.Refresh = s.Index
				}
				return h
			})
		})
	}
}
