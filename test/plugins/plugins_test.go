// Package plugins_test proves that changes are captured together with GORM's own plugins.
package plugins_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"
	"gorm.io/plugin/optimisticlock"
	"gorm.io/plugin/soft_delete"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/internal/tx"
)

// plugin captures the models and keeps what was committed in words.
type plugin struct {
	cfg    capture.Config
	models map[string]*capture.Model
	mu     sync.Mutex
	ops    []string
	images []string // of the column name
	failed []error

	changes []capture.Change
}

func (p *plugin) Name() string { return "recorder" }

func (p *plugin) Initialize(db *gorm.DB) error {
	names := [...]string{"", "insert", "update", "delete", "softdelete", "restore"}
	return capture.Install(db, capture.Hooks{
		Hooks: tx.Hooks{
			BeforeCommit: func(context.Context, gorm.ConnPool, []tx.Item) error { return nil },
			AfterCommit: func(_ context.Context, items []tx.Item) {
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, item := range items {
					c := item.(capture.Change) //nolint:forcetypeassert // nothing else is given
					p.changes = append(p.changes, c)
					p.ops = append(p.ops, strings.TrimSpace(names[c.Op]+" "+c.Table+" "+c.Note))
					p.images = append(p.images, nameOf(c.Model, c.Before)+" -> "+nameOf(c.Model, c.After))
				}
			},
			Discarded: func([]tx.Item) {},
		},
		Model: func(st *gorm.Statement) *capture.Model { return p.models[capture.TableName(st)] },
		Captured: func(_ *gorm.Statement, changes []capture.Change, _ *capture.Summary) []tx.Item {
			var items []tx.Item
			for _, c := range changes {
				items = append(items, c)
			}
			return items
		},
		Skipped: func(_ *gorm.Statement, reason string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ops = append(p.ops, "skipped "+reason)
		},
		Failed: func(_ *gorm.Statement, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failed = append(p.failed, err)
		},
	}, p.cfg)
}

func (p *plugin) want(t *testing.T, ops ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(ops, p.ops); diff != "" || len(p.failed) > 0 {
		t.Errorf("%s%v", diff, p.failed)
	}
	p.ops = nil
}

// nameOf gives the column name of an image.
func nameOf(m *capture.Model, image []any) string {
	if i := slices.Index(m.Columns, "name"); i >= 0 && image != nil {
		return fmt.Sprint(image[i])
	}
	return ""
}

func (p *plugin) wantImages(t *testing.T, images ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(images, p.images); diff != "" || len(p.failed) > 0 {
		t.Errorf("%s%v", diff, p.failed)
	}
}

func newPlugin(t *testing.T, db *gorm.DB, models ...any) *plugin {
	t.Helper()
	if err := db.AutoMigrate(models...); err != nil {
		t.Fatal(err)
	}
	p := &plugin{models: map[string]*capture.Model{}}
	for _, m := range models {
		model := modelOf(t, db, m)
		p.models[model.Schema.Table] = model
	}
	return p
}

func modelOf(t *testing.T, db *gorm.DB, m any) *capture.Model {
	t.Helper()
	st := &gorm.Statement{DB: db}
	if err := st.Parse(m); err != nil {
		t.Fatal(err)
	}
	return &capture.Model{Schema: st.Schema, Columns: st.Schema.DBNames}
}

func open(t *testing.T, d gorm.Dialector) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if sqlDB, err := db.DB(); err == nil {
			_ = sqlDB.Close()
		}
	})
	return db
}

// dialectors give, for each database, a new one and how it is opened.
func dialectors(t *testing.T) map[string]func(t *testing.T) func() gorm.Dialector {
	t.Helper()
	return map[string]func(t *testing.T) func() gorm.Dialector{
		"sqlite": func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			path := filepath.Join(t.TempDir(), "t.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(0)"
			return func() gorm.Dialector { return sqlite.Open(path) }
		},
		"postgres": func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := testservers.PostgresSchema(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		},
		"mariadb": func(t *testing.T) func() gorm.Dialector {
			t.Helper()
			dsn := testservers.MariaDBDatabase(t)
			return func() gorm.Dialector { return mysql.Open(dsn) }
		},
	}
}

func forEach(t *testing.T, f func(t *testing.T, dialector func() gorm.Dialector)) {
	t.Helper()
	for name, d := range dialectors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, d(t))
		})
	}
}

type flagged struct {
	ID        uint
	Name      string
	DeletedAt time.Time             `gorm:"default:null"` // MariaDB has no year 1
	IsDel     soft_delete.DeletedAt `gorm:"softDelete:flag,DeletedAtField:DeletedAt"`
}

type second struct {
	ID        uint
	Name      string
	DeletedAt soft_delete.DeletedAt
}

type milli struct {
	ID        uint
	Name      string
	DeletedAt soft_delete.DeletedAt `gorm:"softDelete:milli"`
}

type nano struct {
	ID        uint
	Name      string
	DeletedAt soft_delete.DeletedAt `gorm:"softDelete:nano"`
}

func TestSoftDelete(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d func() gorm.Dialector) {
		db := open(t, d())
		p := newPlugin(t, db, &flagged{}, &second{}, &milli{}, &nano{})
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		db.Create(&flagged{ID: 1})
		db.Delete(&flagged{ID: 1})
		db.Delete(&flagged{ID: 1})
		db.Unscoped().Model(&flagged{ID: 1}).Update("is_del", 0)
		db.Unscoped().Delete(&flagged{ID: 1})
		p.want(t, "insert flaggeds", "softdelete flaggeds", "restore flaggeds", "delete flaggeds")
		for _, m := range []any{&second{ID: 1}, &milli{ID: 1}, &nano{ID: 1}} {
			db.Create(m)
			db.Where("name = ?", "").Delete(m)
			db.Where("name = ?", "").Delete(m)
			db.Unscoped().Model(m).Where("id = 1").UpdateColumn("deleted_at", 0)
		}
		p.want(t, "insert seconds", "softdelete seconds", "restore seconds", "insert millis", "softdelete millis", "restore millis",
			"insert nanos", "softdelete nanos", "restore nanos")
	})
}

type versioned struct {
	ID      uint
	Name    string
	Version optimisticlock.Version
}

func TestOptimisticLock(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, d func() gorm.Dialector) {
		db := open(t, d())
		p := newPlugin(t, db, &versioned{})
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		v := versioned{Name: "a"}
		db.Create(&v)
		stale := v
		if tx := db.Model(&v).Update("name", "b"); tx.Error != nil || tx.RowsAffected != 1 {
			t.Error(tx.Error, tx.RowsAffected)
		}
		if tx := db.Model(&stale).Update("name", "c"); tx.Error != nil || tx.RowsAffected != 0 {
			t.Error(tx.Error, tx.RowsAffected)
		}
		if err := db.First(&v, v.ID).Error; err != nil {
			t.Fatal(err)
		}
		if tx := db.Model(&v).Updates(versioned{Name: "d"}); tx.Error != nil || tx.RowsAffected != 1 {
			t.Error(tx.Error, tx.RowsAffected)
		}
		p.want(t, "insert versioneds", "update versioneds", "update versioneds")
	})
}

type row struct {
	ID   uint
	Name string
}

// The resolver replaces pools and initialises every plugin once more for each of its databases.
func TestResolver(t *testing.T) {
	t.Parallel()
	for name, captureFirst := range map[string]bool{"after the resolver": false, "before the resolver": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, d func() gorm.Dialector) {
				db := open(t, d())
				p := newPlugin(t, db, &row{})
				resolver := dbresolver.Register(dbresolver.Config{Sources: []gorm.Dialector{d()}, Replicas: []gorm.Dialector{d()}})
				t.Cleanup(func() {
					_ = resolver.Call(func(pool gorm.ConnPool) error {
						for {
							u, ok := pool.(interface{ Unwrap() gorm.ConnPool })
							if !ok {
								break
							}
							pool = u.Unwrap()
						}
						if c, ok := pool.(interface{ Close() error }); ok {
							return c.Close()
						}
						return nil
					})
				})
				plugins := []gorm.Plugin{resolver, p}
				if captureFirst {
					plugins = []gorm.Plugin{p, resolver}
				}
				for _, plugin := range plugins {
					if err := db.Use(plugin); err != nil {
						t.Fatal(err)
					}
				}
				if err := db.Create(&row{ID: 1}).Error; err != nil {
					t.Fatal(err)
				}
				p.want(t, "insert rows")
				db.Model(&row{ID: 1}).Update("name", "a")
				_ = db.Transaction(func(tx *gorm.DB) error {
					tx.Model(&row{ID: 1}).Update("name", "lost")
					return context.Canceled
				})
				p.want(t, "update rows")
				t1 := db.Clauses(dbresolver.Write).Begin()
				t1.Model(&row{ID: 1}).Update("name", "lost")
				p.want(t)
				t1.Rollback()
				p.want(t)
				t1 = db.Clauses(dbresolver.Write).Begin()
				t1.Model(&row{ID: 1}).Update("name", "b")
				t1.Commit()
				p.want(t, "update rows")
				s := db.Session(&gorm.Session{SkipDefaultTransaction: true})
				s.Delete(&row{ID: 1})
				p.want(t, "delete rows")
				s.Save(&row{ID: 5})
				p.want(t, "insert rows")
			})
		})
	}
}
