package capture_test

import (
	"fmt"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/oracle"
)

// TestUpdate_ConcurrentSafe_givesChains lets goroutines count up one row: the old value of each change
// is the new value of the one before, however the statements interleave.
func TestUpdate_ConcurrentSafe_givesChains(t *testing.T) {
	t.Parallel()
	const goroutines, each = 8, 25
	for name, cfg := range map[string]*gorm.Config{
		"default": {}, "autocommit": {SkipDefaultTransaction: true}, "prepared": {PrepareStmt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, d database) {
				r := &recorder{}
				db := setup(t, d, cfg, r, &Order{})
				if err := db.Create(&Order{ID: 1}).Error; err != nil {
					t.Fatal(err)
				}
				r.reset()
				var wg sync.WaitGroup
				for range goroutines {
					wg.Go(func() {
						for range each {
							if err := db.Model(&Order{ID: 1}).UpdateColumn("amount", gorm.Expr("amount + 1")).Error; err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				checkChain(t, r.changes(), goroutines*each)
			})
		})
	}
}

func checkChain(t *testing.T, changes []oracle.Change, want int) {
	t.Helper()
	next := map[string]string{}
	for _, c := range changes {
		if _, twice := next[c.Before["amount"]]; twice {
			t.Errorf("two changes from %s", c.Before["amount"])
		}
		next[c.Before["amount"]] = c.After["amount"]
	}
	at := "0"
	for range want {
		n, ok := next[at]
		if !ok {
			t.Fatalf("the chain breaks at %s of %d", at, want)
		}
		at = n
	}
	if at != fmt.Sprint(want) || len(changes) != want {
		t.Errorf("%d changes up to %s, want %d", len(changes), at, want)
	}
}

// TestUpsert_ConcurrentSafe_oneRowIsAdded lets goroutines upsert the same new keys: each row is added
// once, and all other changes form a chain.
func TestUpsert_ConcurrentSafe_oneRowIsAdded(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &Pair{})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 10 {
					if err := db.Save(&Pair{A: i + 1, B: "x", V: g*100 + i + 1}).Error; err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var rows []Pair
		if err := db.Find(&rows).Error; err != nil {
			t.Fatal(err)
		}
		inserts := 0
		for _, o := range r.ops() {
			if o[:6] == "insert" {
				inserts++
			}
		}
		if inserts != len(rows) || len(rows) != 10 {
			t.Errorf("%d inserts for %d rows: %v", inserts, len(rows), r.ops())
		}
	})
}
