package plugins_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/internal/testservers"
)

// owner has things, which are deleted for good.
type owner struct {
	ID        uint
	Name      string
	Things    []thing
	DeletedAt gorm.DeletedAt
}

type thing struct {
	ID      uint
	OwnerID *uint
	Name    string
}

var (
	oracleModels = []any{&flagged{}, &second{}, &milli{}, &nano{}, &versioned{}, &owner{}, &thing{}}
	oracleTables = []oracle.Table{
		{Name: "flaggeds", Keys: []string{"id"}, Soft: "is_del", Alive: "0"},
		{Name: "seconds", Keys: []string{"id"}, Soft: "deleted_at", Alive: "0"},
		{Name: "millis", Keys: []string{"id"}, Soft: "deleted_at", Alive: "0"},
		{Name: "nanos", Keys: []string{"id"}, Soft: "deleted_at", Alive: "0"},
		{Name: "versioneds", Keys: []string{"id"}},
		{Name: "owners", Keys: []string{"id"}, Soft: "deleted_at"},
		{Name: "things", Keys: []string{"id"}},
	}
	oracleSeed = []string{
		"INSERT INTO flaggeds (id, name, is_del) VALUES (1, 'a', 0), (2, 'b', 0), (3, 'gone', 1)",
		"INSERT INTO seconds (id, name, deleted_at) VALUES (1, 'a', 0), (2, 'b', 0), (3, 'gone', 77)",
		"INSERT INTO millis (id, name, deleted_at) VALUES (1, 'a', 0), (2, 'b', 0), (3, 'gone', 77)",
		"INSERT INTO nanos (id, name, deleted_at) VALUES (1, 'a', 0), (2, 'b', 0), (3, 'gone', 77)",
		"INSERT INTO versioneds (id, name, version) VALUES (1, 'a', 1), (2, 'b', 5), (3, 'c', NULL)",
		"INSERT INTO owners (id, name) VALUES (1, 'o1'), (2, 'o2')",
		"INSERT INTO things (id, owner_id, name) VALUES (1, 1, 't1'), (2, 1, 't2'), (3, 2, 't3')",
	}
)

// pluginCall is a call of an application. see is told what it gets back.
type pluginCall struct {
	name string
	run  func(db *gorm.DB, see func(tx *gorm.DB, more ...any))
}

func markCalls[T any](table string) []pluginCall {
	one := func() *T {
		var v T
		return &v
	}
	return []pluginCall{
		{table + " delete by id", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Delete(one(), 1))
			see(db.Delete(one(), 1))
		}},
		{table + " delete where", func(db *gorm.DB, see func(*gorm.DB, ...any)) { see(db.Where("name <> ?", "a").Delete(one())) }},
		{table + " delete or", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Where("name = ?", "a").Or("name = ?", "gone").Delete(one()))
		}},
		{table + " delete all", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(one()))
			see(db.Delete(one())) // no condition
		}},
		{table + " delete for good", func(db *gorm.DB, see func(*gorm.DB, ...any)) { see(db.Unscoped().Delete(one(), []int{1, 3})) }},
		{table + " delete in table", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Table(table).Where("id = ?", 2).Delete(one()))
		}},
		{table + " update leaves marked rows", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Model(one()).Where("id > ?", 0).Update("name", "x"))
			see(db.Unscoped().Model(one()).Where("id = ?", 3).Update("name", "y"))
		}},
		{table + " transaction", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db, db.Transaction(func(tx *gorm.DB) error {
				see(tx.Delete(one(), 1))
				see(tx, tx.Transaction(func(tx *gorm.DB) error {
					see(tx.Delete(one(), 2))
					return errNo
				}))
				return nil
			}))
		}},
		{table + " slice", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			var all []T
			see(db.Find(&all))
			see(db.Delete(&all), all)
		}},
		{table + " generics", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			n, err := gorm.G[T](db).Where("id = ?", 1).Delete(db.Statement.Context)
			see(db, n, err)
		}},
		{table + " returning", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			if db.Name() != "mysql" {
				var got []T
				see(db.Clauses(clause.Returning{}).Where("id < 3").Delete(&got), len(got))
			}
		}},
		{table + " upsert", func(db *gorm.DB, see func(*gorm.DB, ...any)) {
			see(db.Table(table).Clauses(clause.OnConflict{UpdateAll: true}).Create(map[string]any{"id": 3, "name": "back"}))
			see(db.Table(table).Create(map[string]any{"id": 9, "name": "new"}))
		}},
	}
}

// errNo is the error by which a nested transaction rolls back.
var errNo = errors.New("no")

func pluginCalls() []pluginCall {
	type seeing = func(*gorm.DB, ...any)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return slices.Concat(
		markCalls[flagged]("flaggeds"), markCalls[second]("seconds"), markCalls[milli]("millis"), markCalls[nano]("nanos"),
		[]pluginCall{
			{"flag with other columns", func(db *gorm.DB, see seeing) {
				see(db.Model(&flagged{ID: 1}).Updates(map[string]any{"is_del": 1, "deleted_at": at, "name": "marked"}))
				see(db.Unscoped().Model(&flagged{ID: 1}).Updates(map[string]any{"is_del": 0, "deleted_at": nil, "name": "back"}))
			}},
			{"flag by struct and save", func(db *gorm.DB, see seeing) {
				see(db.Model(&flagged{ID: 1}).Updates(flagged{Name: "s", IsDel: 1, DeletedAt: at}))
				see(db.Unscoped().Save(&flagged{ID: 2, Name: "saved", IsDel: 1, DeletedAt: at}))
				see(db.Save(&flagged{ID: 3, Name: "saved over a marked row", DeletedAt: at}))
			}},
			{"flag restore in bulk", func(db *gorm.DB, see seeing) {
				see(db.Unscoped().Model(&flagged{}).Where("is_del = ?", 1).UpdateColumns(map[string]any{"is_del": 0, "deleted_at": nil}))
				see(db.Unscoped().Model(&second{}).Where("deleted_at <> 0").Update("deleted_at", 0))
			}},
			{"mark of a marked row", func(db *gorm.DB, see seeing) {
				see(db.Unscoped().Model(&second{ID: 3}).Update("deleted_at", 78))
			}},
			{"create marked", func(db *gorm.DB, see seeing) {
				see(db.Create(&[]second{{ID: 20, DeletedAt: 5}, {ID: 21}}))
				see(db.Create(&flagged{ID: 20, IsDel: 1, DeletedAt: at}))
			}},

			{"version update", func(db *gorm.DB, see seeing) {
				var v versioned
				see(db.First(&v, 2))
				stale := v
				see(db.Model(&v).Update("name", "x"), v)
				see(db.Model(&stale).Update("name", "y"), stale)
				see(db.Model(&stale).Updates(map[string]any{"name": "z"}), stale)
			}},
			{"version struct", func(db *gorm.DB, see seeing) {
				var v versioned
				see(db.First(&v, 1))
				see(db.Model(&v).Updates(versioned{Name: "d"}), v.ID, v.Name)
				see(db.Model(&v).Select("Name").Updates(versioned{Name: ""}), v.ID, v.Name)
				see(db.Model(&v).Omit("Name").Updates(versioned{Name: "omitted"}), v.ID, v.Name)
			}},
			{"version column and expression", func(db *gorm.DB, see seeing) {
				see(db.Model(&versioned{ID: 1}).UpdateColumn("name", gorm.Expr("name || ?", "!")))
				see(db.Model(&versioned{ID: 1}).UpdateColumns(map[string]any{"name": "cols"}))
			}},
			{"version bulk", func(db *gorm.DB, see seeing) {
				see(db.Model(&versioned{}).Where("id < ?", 3).Update("name", "all"))
				see(db.Unscoped().Model(&versioned{}).Where("id = ?", 3).Updates(map[string]any{"name": "null + 1"}))
			}},
			{"version save", func(db *gorm.DB, see seeing) {
				var v versioned
				see(db.First(&v, 2))
				stale := v
				v.Name = "saved"
				see(db.Save(&v))
				stale.Name = "stale"
				see(db.Save(&stale)) // no row is updated, and GORM goes on with an upsert
				see(db.Save(&versioned{ID: 30, Name: "missing"}))
			}},
			{"version create and upsert", func(db *gorm.DB, see seeing) {
				see(db.Create(&[]versioned{{ID: 40, Name: "x"}, {ID: 41, Name: "y"}}))
				see(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&versioned{ID: 2, Name: "over"}))
				see(db.Clauses(clause.OnConflict{DoNothing: true}).Create(&versioned{ID: 2, Name: "not"}))
			}},
			{"version delete", func(db *gorm.DB, see seeing) {
				var v versioned
				see(db.First(&v, 1))
				see(db.Delete(&v))
			}},
			{"version transaction", func(db *gorm.DB, see seeing) {
				var v versioned
				see(db.First(&v, 2))
				see(db, db.Transaction(func(tx *gorm.DB) error {
					see(tx.Model(&v).Update("name", "lost"))
					return errNo
				}))
				see(db, db.Transaction(func(tx *gorm.DB) error {
					see(tx, tx.Transaction(func(tx *gorm.DB) error {
						see(tx.Model(&versioned{ID: 1}).Update("name", "lost"))
						return errNo
					}))
					return tx.Model(&versioned{ID: 1}).Update("name", "kept").Error
				}))
			}},

			{"associations", func(db *gorm.DB, see seeing) {
				see(db.Create(&owner{ID: 7, Name: "o7", Things: []thing{{ID: 70, Name: "t"}, {ID: 71, Name: "u"}}}))
				see(db, db.Model(&owner{ID: 1}).Association("Things").Append(&thing{ID: 3}))
				see(db, db.Model(&owner{ID: 1}).Association("Things").Replace(&thing{ID: 80, Name: "new"}))
				see(db.Select("Things").Delete(&owner{ID: 7}))
			}},
			{"written through the resolver", func(db *gorm.DB, see seeing) {
				see(db.Clauses(dbresolver.Write).Model(&owner{ID: 1}).Update("name", "w"))
				tx := db.Clauses(dbresolver.Write).Begin()
				see(tx.Create(&thing{ID: 90, Name: "lost"}))
				see(tx.Rollback())
				tx = db.Clauses(dbresolver.Write).Begin()
				see(tx.Create(&thing{ID: 91, Name: "kept"}))
				tx.SavePoint("s")
				see(tx.Delete(&owner{ID: 1}))
				tx.RollbackTo("s")
				see(tx.Commit())
				see(db.Clauses(dbresolver.Write).Save(&[]thing{{ID: 1, Name: "a"}, {ID: 92, Name: "b"}}))
			}},
			{"update of what was read from a replica", func(db *gorm.DB, see seeing) {
				var all []thing
				see(db.Find(&all), len(all))
				for i := range all {
					all[i].Name += "!"
				}
				see(db.Save(&all))
				var o owner
				see(db.Where(owner{Name: "o2"}).Assign(owner{Name: "o3"}).FirstOrCreate(&o), o.ID, o.Name)
				see(db.Where("1 = 1").Delete(&thing{}))
			}},
		},
	)
}

// run is one database on which calls are made.
type run struct {
	db, bare *gorm.DB
	p        *plugin
	clock    int
}

func newRun(t *testing.T, dialector func() gorm.Dialector, cfg gorm.Config, resolver, capturing bool) *run {
	t.Helper()
	r := &run{}
	cfg.Logger = logger.Discard
	cfg.NowFunc = func() time.Time {
		r.clock++
		return time.Date(2026, 2, 3, 4, 5, r.clock, 0, time.UTC)
	}
	r.bare = open(t, dialector())
	r.p = newPlugin(t, r.bare, oracleModels...)
	db, err := gorm.Open(dialector(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if sqlDB, err := db.DB(); err == nil {
			_ = sqlDB.Close()
		}
	})
	if resolver {
		resolve := dbresolver.Register(dbresolver.Config{Sources: []gorm.Dialector{dialector()}, Replicas: []gorm.Dialector{dialector(), dialector()}})
		if err := db.Use(resolve); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closePools(resolve) })
	}
	if capturing {
		if err := db.Use(r.p); err != nil {
			t.Fatal(err)
		}
	}
	r.db = db
	return r
}

// closePools closes the databases of a resolver.
func closePools(resolver *dbresolver.DBResolver) {
	_ = resolver.Call(func(pool gorm.ConnPool) error {
		for {
			switch p := pool.(type) {
			case interface{ Close() error }:
				return p.Close()
			case *gorm.PreparedStmtDB:
				pool = p.ConnPool
			case interface{ Unwrap() gorm.ConnPool }:
				pool = p.Unwrap()
			default:
				return nil
			}
		}
	})
}

// do makes a call on the seed.
func (r *run) do(t *testing.T, c pluginCall) (seen []string, before, after oracle.Snapshot) {
	t.Helper()
	for _, table := range slices.Backward(oracleTables) { // children first
		if err := r.bare.Exec("DELETE FROM " + table.Name).Error; err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range oracleSeed {
		if err := r.bare.Exec(q).Error; err != nil {
			t.Fatal(err)
		}
	}
	take := func() oracle.Snapshot {
		sqlDB, err := r.bare.DB()
		if err != nil {
			t.Fatal(err)
		}
		s, err := oracle.Take(t.Context(), sqlDB, oracleTables...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before = take()
	r.clock = 0
	r.p.mu.Lock()
	r.p.changes, r.p.ops, r.p.failed = nil, nil, nil
	r.p.mu.Unlock()
	c.run(r.db.WithContext(t.Context()), func(tx *gorm.DB, more ...any) {
		seen = append(seen, fmt.Sprint(tx.RowsAffected, " ", tx.Error, " ", fmt.Sprintf("%+v", more)))
	})
	return seen, before, take()
}

func rowOf(m *capture.Model, image []any) oracle.Row {
	if image == nil {
		return nil
	}
	out := oracle.Row{}
	for i, c := range m.Columns {
		out[c] = oracle.Word(image[i])
	}
	return out
}

// TestOracle_pluginsOfGORM makes each call without and with capture, with and without a resolver: the caller sees
// the same, the tables end the same, and the changes lead from the tables before to those after, row for row.
func TestOracle_pluginsOfGORM(t *testing.T) {
	t.Parallel()
	names := [...]string{"", "insert", "update", "delete", "softdelete", "restore"}
	configs := map[string]gorm.Config{
		"default": {}, "prepared": {PrepareStmt: true}, "skip": {SkipDefaultTransaction: true}, "prepared+skip": {PrepareStmt: true, SkipDefaultTransaction: true},
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		for _, resolver := range []bool{false, true} {
			if resolver != (name == "prepared" || name == "skip") && !testservers.Long() {
				continue
			}
			t.Run(fmt.Sprintf("%s/resolver %v", name, resolver), func(t *testing.T) {
				t.Parallel()
				for database, d := range dialectors(t) {
					t.Run(database, func(t *testing.T) {
						t.Parallel()
						a := newRun(t, d(t), configs[name], resolver, false)
						b := newRun(t, d(t), configs[name], resolver, true)
						found := 0
						for _, c := range pluginCalls() {
							if strings.Contains(c.name, "resolver") && !resolver {
								continue
							}
							t.Run(c.name, func(t *testing.T) { //nolint:paralleltest // one database
								want, _, end := a.do(t, c)
								got, before, after := b.do(t, c)
								if diff := cmp.Diff(want, got); diff != "" {
									t.Errorf("the caller sees something else (-without +with):\n%s", diff)
								}
								if diff := cmp.Diff(end, after); diff != "" {
									t.Errorf("the tables end differently (-without +with):\n%s", diff)
								}
								b.p.mu.Lock()
								defer b.p.mu.Unlock()
								var changes []oracle.Change
								for _, ch := range b.p.changes {
									if ch.Note != "" {
										t.Errorf("not certain: %+v", ch)
									}
									changes = append(changes, oracle.Change{
										Table: ch.Table, Before: rowOf(ch.Model, ch.Before), After: rowOf(ch.Model, ch.After), Op: names[ch.Op],
									})
								}
								found += len(changes)
								replayed, wrong := before.Replay(changes, oracleTables...)
								if diff := cmp.Diff(after, replayed); diff != "" || len(wrong) > 0 || len(b.p.failed) > 0 {
									t.Errorf("wrong: %v, failed: %v (-tables +changes):\n%s%v", wrong, b.p.failed, diff, b.p.ops)
								}
								if slices.ContainsFunc(b.p.ops, func(op string) bool { return strings.HasPrefix(op, "skipped") }) {
									t.Error(b.p.ops)
								}
							})
						}
						if found < 100 {
							t.Errorf("%d changes", found)
						}
					})
				}
			})
		}
	}
}
