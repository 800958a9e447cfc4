package capture_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
)

type item struct {
	ID        uint
	Name      string
	Count     int
	DeletedAt gorm.DeletedAt
}

func TestCapture_eachOperation_isWhatItIs(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &item{})
		a := item{Name: "a"}
		for _, step := range []*gorm.DB{
			db.Create(&a),
			db.Model(&a).Update("count", gorm.Expr("count + ?", 2)),
			db.Model(&a).Update("count", 2),
			db.Save(&item{ID: 1, Name: "b", Count: 3}),
			db.Save(&item{ID: 7, Name: "c"}),
			db.Delete(&a),
			db.Unscoped().Model(&a).Update("deleted_at", nil),
			db.Unscoped().Delete(&a),
		} {
			if step.Error != nil {
				t.Fatal(step.Error)
			}
		}
		want := []string{
			"insert items 1", "update items 1", "update items 1", "insert items 7",
			"softdelete items 1", "restore items 1", "delete items 1",
		}
		if diff := cmp.Diff(want, r.ops()); diff != "" {
			t.Error(diff)
		}
		if len(r.failed) > 0 || len(r.skipped) > 0 {
			t.Error(r.failed, r.skipped)
		}
	})
}

func TestTransaction_rolledBack_releasesNothing(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d database) {
		r := &recorder{}
		db := setup(t, d, &gorm.Config{}, r, &item{})
		sentinel := errors.New("no")
		err := db.Transaction(func(tx *gorm.DB) error {
			tx.Create(&item{Name: "a"})
			return sentinel
		})
		if !errors.Is(err, sentinel) || len(r.ops()) != 0 || r.discarded != 1 {
			t.Error(err, r.ops(), r.discarded)
		}
	})
}
