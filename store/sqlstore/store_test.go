package sqlstore_test

import (
	"testing"

	"gorm.io/gorm"

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
		if d.name == "sqlite in memory" {
			continue // below
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			conforms(t, d.open, sqlstore.Config{})
		})
	}
	t.Run("sqlite in memory without text index", func(t *testing.T) {
		t.Parallel()
		conforms(t, sqliteMemory, sqlstore.Config{NoTextIndex: true})
	})
}

func conforms(t *testing.T, open func(testing.TB) *gorm.DB, cfg sqlstore.Config) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Harness{Store: newStore(t, open(t), cfg)}
	})
}
