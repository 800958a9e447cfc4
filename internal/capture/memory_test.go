package capture_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
)

// heap gives the bytes of objects on the heap, live or not yet swept.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peak runs f and gives how far the heap rose meanwhile, as seen about every millisecond.
func peak(f func()) uint64 {
	runtime.GC()
	start := heap()
	var highest atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for {
			if h := heap(); h > highest.Load() {
				highest.Store(h)
			}
			select {
			case <-stop:
				return
			case <-look.C:
			}
		}
	}()
	f()
	close(stop)
	<-done
	return max(highest.Load(), start) - start
}

// TestLimits_largeUpdate_staysBelowTheBound changes more rows by one statement than are captured one by one. Images
// are kept up to the limit of bytes, and one summary stands for all rows: what is on the heap meanwhile
// depends on the limit, not on the rows.
//
// It is not parallel, as the heap is that of the whole program.
func TestLimits_largeUpdate_staysBelowTheBound(t *testing.T) { //nolint:paralleltest // measures the heap of the program
	rows := 20_000
	if long() {
		rows = 1_000_000
	}
	const maxBytes = 1 << 20
	// What is live is at most the images up to the limit, in slices that grew by doubling; 8 MiB are for the
	// driver's buffers and all else. Garbage must not hide it.
	const bound = 3*maxBytes + 8<<20
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	for _, d := range []database{databases[0], databases[1]} { //nolint:paralleltest // as above
		t.Run(d.name, func(t *testing.T) {
			r := &recorder{}
			db := d.open(t, &gorm.Config{})
			if err := db.AutoMigrate(&Doc{}); err != nil {
				t.Fatal(err)
			}
			body := map[string]string{"sqlite": "zeroblob(400)", "postgres": "repeat('x', 400)::bytea"}[d.dialect]
			fill := "INSERT INTO docs (id, \"order\", body) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT 'document number ' || i, i, %s FROM n"
			if err := db.Exec(fmt.Sprintf(fill, rows, body)).Error; err != nil {
				t.Fatal(err)
			}
			r.register(t, db, &Doc{})
			d.install(t, db, r.hooks(), capture.Config{MaxRows: rows * 2, MaxBytes: maxBytes})
			for _, step := range []struct {
				name string
				run  func() *gorm.DB
			}{
				{"autocommit", func() *gorm.DB { return db.Model(&Doc{}).Where("1 = 1").Update("order", gorm.Expr(`"order" + 1`)) }},
				{"in transaction", func() (out *gorm.DB) {
					_ = db.Transaction(func(tx *gorm.DB) error {
						out = tx.Model(&Doc{}).Where("1 = 1").Update("table", "t")
						return out.Error
					})
					return out
				}},
				{"delete", func() *gorm.DB { return db.Where("id < ?", "document number 5").Delete(&Doc{}) }},
			} {
				r.reset()
				var out *gorm.DB
				rose := peak(func() { out = step.run() })
				t.Logf("%s: %d rows, the heap rose by %d KiB", step.name, out.RowsAffected, rose>>10)
				if out.Error != nil || rose > bound {
					t.Errorf("%s: the heap rose by %d bytes, want at most %d; %v", step.name, rose, bound, out.Error)
				}
				if len(r.summaries) != 1 || len(r.ops()) != 0 || r.summaries[0].Rows != out.RowsAffected || out.RowsAffected < int64(rows/3) {
					t.Errorf("%s: %d changes, summaries %+v, want one of %d rows", step.name, len(r.ops()), r.summaries, out.RowsAffected)
				}
			}
		})
	}
}
