package capture_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
)

// orderly makes transactions that take their locks in one order, so that they never wait for each other in a
// circle, and gives how many writes failed for that reason all the same.
func orderly(t *testing.T, db *gorm.DB, seed uint64) (deadlocks int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 15 {
				err := db.Transaction(func(tx *gorm.DB) error {
					id := uint(r.IntN(4) + 1)
					for _, write := range []func() *gorm.DB{
						func() *gorm.DB { return tx.Model(&Order{ID: id}).UpdateColumn("amount", gorm.Expr("amount + 1")) },
						func() *gorm.DB { return tx.Model(&Order{ID: id + 4}).Update("title", fmt.Sprint(g)) },
						func() *gorm.DB { return tx.Delete(&Zero{ID: id}) },
						func() *gorm.DB {
							return tx.Unscoped().Model(&Zero{ID: id}).Update("deleted_at", gorm.Expr("'1970-01-01 00:00:01'"))
						},
						func() *gorm.DB {
							return tx.Clauses(on("code", "rank")).Create(&Thing{Code: fmt.Sprint("c", id), Rank: int(g)})
						},
					} {
						if err := write().Error; err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					mu.Lock()
					deadlocks++
					mu.Unlock()
					if !retryable(err) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	return deadlocks
}

// TestDeadlocks_ConcurrentSafe_noneThatPlainGORMHasNot runs one program without and with capture: rows of which
// every transaction takes the locks in the same order, with updates, soft deletes, restores and upserts.
// Without capture there is no deadlock, so there is none with it.
func TestDeadlocks_ConcurrentSafe_noneThatPlainGORMHasNot(t *testing.T) {
	t.Parallel()
	for name, inTx := range map[string]bool{"after commit": false, "in transaction": true} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			var counts [2]int
			r := &recorder{inTx: inTx}
			for i := range counts {
				db := d.open(t, &gorm.Config{})
				if err := db.AutoMigrate(&Order{}, &Zero{}, &Thing{}); err != nil {
					t.Fatal(err)
				}
				for id := range uint(8) {
					db.Create(&Order{ID: id + 1})
					db.Create(&Zero{ID: id + 1})
					db.Create(&Thing{Code: fmt.Sprint("c", id+1)})
				}
				r.register(t, db, &Order{}, &Zero{}, &Thing{})
				if i == 1 {
					d.install(t, db, r.hooks(), capture.Config{})
				}
				counts[i] = orderly(t, db, 1)
			}
			t.Logf("%d deadlocks without capture, %d with it", counts[0], counts[1])
			if counts[0] == 0 && counts[1] > 0 {
				t.Errorf("%d deadlocks with capture, none without", counts[1])
			}
			if len(r.failed)+len(r.skipped) > 0 || len(r.ops()) < 8*15*2 {
				t.Errorf("%d changes, failed %v, skipped %v", len(r.ops()), r.failed, r.skipped)
			}
		})
	}
}
