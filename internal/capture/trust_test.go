package capture_test

import (
	"testing"

	"gorm.io/gorm"
)

// Another program drops columns, long after one another: each time one statement is lost to the trail, and
// not all of the table's from the second time on.
func TestTrust_columnsDroppedByOthers_isWonBack(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*gorm.Config{"default": {}, "skip": {SkipDefaultTransaction: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			db := setup(t, databases[1], cfg, r, &Thing{})
			pool, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Create(&Thing{Code: "a"}).Error; err != nil {
				t.Fatal(err)
			}
			for i, column := range []string{"kind", "rank", "rate"} {
				if _, err := pool.ExecContext(t.Context(), "ALTER TABLE things DROP COLUMN "+column); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					_ = db.Model(&Thing{ID: 1}).Update("code", gorm.Expr("code || 'x'")).Error
				}
				if got := len(r.ops()); got < 1+2*(i+1) {
					t.Errorf("%d columns dropped: %d records, want at least %d; skipped %v", i+1, got, 1+2*(i+1), r.skipped)
				}
			}
		})
	}
}
