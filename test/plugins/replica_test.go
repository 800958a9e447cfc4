package plugins_test

import (
	"path/filepath"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"
)

type reading struct {
	ID   uint
	Name string
}

// A replica that lags behind has no part in the images: they are read where the statement writes.
func TestResolver_imagesAreOfTheSource(t *testing.T) {
	t.Parallel()
	path := func(name string) gorm.Dialector {
		return sqlite.Open(filepath.Join(t.TempDir(), name) + "?_pragma=busy_timeout(10000)")
	}
	replica := path("replica.db")
	old := open(t, replica)
	if err := old.AutoMigrate(&reading{}); err != nil {
		t.Fatal(err)
	}
	old.Create(&reading{ID: 1, Name: "of the replica"})
	for name, skip := range map[string]bool{"default": false, "skip": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, path("source.db"))
			p := newPlugin(t, db, &reading{})
			resolver := dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{replica}})
			t.Cleanup(func() {
				_ = resolver.Call(func(pool gorm.ConnPool) error {
					if c, ok := pool.(interface{ Close() error }); ok {
						return c.Close()
					}
					return nil
				})
			})
			for _, plugin := range []gorm.Plugin{p, resolver} {
				if err := db.Use(plugin); err != nil {
					t.Fatal(err)
				}
			}
			s := db.Session(&gorm.Session{SkipDefaultTransaction: skip})
			for _, tx := range []*gorm.DB{
				s.Create(&reading{ID: 1, Name: "a"}),
				s.Model(&reading{ID: 1}).Update("name", "b"),
				s.Save(&reading{ID: 1, Name: "c"}),
				s.Save(&[]reading{{ID: 1, Name: "d"}}),
				s.Delete(&reading{ID: 1}),
			} {
				if tx.Error != nil {
					t.Error(tx.Error)
				}
			}
			var r reading
			if err := s.First(&r, 1).Error; err != nil || r.Name != "of the replica" {
				t.Error("nothing is read from the replica", err, r)
			}
			p.wantImages(t, " -> a", "a -> b", "b -> c", "c -> d", "d -> ")
		})
	}
}
