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
		for _, scan := range []bool{false, true} {
			name := d.name
			if scan {
				name += " without text index"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(t *testing.T) storetest.Harness {
					return storetest.Harness{Store: newStore(t, d.open(t), sqlstore.Config{NoTextIndex: scan})}
				})
			})
		}
	}
}
