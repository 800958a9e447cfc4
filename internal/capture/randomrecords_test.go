package capture_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/oracle"
)

// business is a program that writes rows which belong together, beside what program writes.
type business struct {
	program
	postgres bool
}

// act makes one call that writes, as an application would; its error is the database's own affair.
func (b *business) act(db *gorm.DB) error {
	n := b.rand.IntN(1000)
	name := fmt.Sprint("n", b.rand.IntN(8))
	email := name + "@example.com"
	id := b.id()
	switch b.rand.IntN(24) {
	case 0:
		return db.Create(&Customer{ID: id, Name: name, Age: n, Orders: []Order{{Title: "nested", Amount: n}}, Tags: []Tag{{ID: uint(n%3 + 1), Name: fmt.Sprint("t", n%3)}}}).Error
	case 1:
		return db.Clauses(on("email", "name", "age")).Create(&Customer{Name: name, Email: &email, Age: n}).Error
	case 2:
		return db.Model(&Customer{ID: id}).Updates(map[string]any{"email": name + strconv.Itoa(n), "age": n}).Error
	case 3:
		return db.Model(&Customer{}).Where("age > ?", n).UpdateColumn("score", n).Error // excluded
	case 4, 5:
		return db.Delete(&Customer{}, id).Error
	case 6, 7:
		return db.Unscoped().Model(&Customer{ID: id}).Update("deleted_at", nil).Error
	case 8:
		return db.Unscoped().Select("Orders", "Tags").Delete(&Customer{ID: id}).Error
	case 9:
		return db.Model(&Customer{ID: id}).Association("Tags").Append(&Tag{ID: uint(n%3 + 1), Name: fmt.Sprint("t", n%3)})
	case 10:
		return db.Model(&Customer{ID: id}).Association("Tags").Clear()
	case 11:
		return db.Model(&Customer{ID: id}).Association("Orders").Replace(&Order{Title: "replaced", Amount: n})
	case 12:
		docs := []Doc{{ID: name + "a", Order: n}, {ID: name + "b", Body: []byte{byte(n), 0}}, {ID: name + "c"}}
		return db.CreateInBatches(&docs, 2).Error
	case 13:
		return db.Model(&Doc{}).Where("id = ?", name+"a").Updates(map[string]any{"id": fmt.Sprint("moved", n%5), "order": n}).Error
	case 14:
		return db.Where("id LIKE ?", "%"+name[1:]+"%").Delete(&Doc{}).Error
	case 15:
		return db.Save(&Asset{
			ID: uuid(byte(n % 6)), Meta: Document(fmt.Sprintf(`{"n":%d,"a":[1,2]}`, n%4)), Extra: []string{name},
			Place: &Place{Room: name}, At: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC),
		}).Error
	case 16:
		return db.Create(&Line{Place: n, Text: name}).Error
	case 17:
		return db.Where("text = ?", name).Delete(&Line{}).Error
	case 18:
		return db.Table("customers").Where("id = ?", id).Updates(map[string]any{"name": "by table", "balance": gorm.Expr("balance + 1")}).Error
	default:
		return b.step(db)
	}
}

// transact makes one transaction, again if the database asks for that.
func (b *business) transact(db *gorm.DB) {
	opts := &sql.TxOptions{}
	if b.postgres {
		opts.Isolation = []sql.IsolationLevel{sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable}[b.rand.IntN(3)]
	}
	for range 4 {
		err := b.once(db, opts)
		if err == nil || !retryable(err) {
			return
		}
	}
}

func retryable(err error) bool {
	return slices.ContainsFunc([]string{"SQLSTATE 40", "Error 1213", "Error 1205", "locked"}, func(s string) bool { return strings.Contains(err.Error(), s) })
}

func (b *business) once(db *gorm.DB, opts *sql.TxOptions) (err error) {
	defer func() {
		if r := recover(); r != nil && r != "program" {
			panic(r)
		}
	}()
	if b.rand.IntN(4) == 0 {
		return b.act(db)
	}
	return db.Transaction(func(tx *gorm.DB) error { return b.work(tx, 0) }, opts)
}

func (b *business) work(t *gorm.DB, depth int) error {
	for range b.rand.IntN(4) + 1 {
		switch n := b.rand.IntN(20); {
		case n < 3 && depth < 3:
			err := t.Transaction(func(t *gorm.DB) error { return b.work(t, depth+1) })
			if err != nil && (!errors.Is(err, errNo) || b.rand.IntN(2) == 0) {
				return err
			}
		case n == 3:
			return errNo
		case n == 4:
			panic("program")
		case n == 5:
			t.SavePoint("mine")
			if err := b.act(t); err != nil {
				return err
			}
			t.RollbackTo("mine")
		default:
			if err := b.act(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// stock makes what programs find, with each action at least once.
func stock(t *testing.T, db *gorm.DB) {
	t.Helper()
	var customers []Customer
	for id := range uint(12) {
		customers = append(customers, Customer{ID: id + 1, Name: fmt.Sprint("n", id), Age: int(id) * 80, Orders: []Order{{ID: id + 1}}})
	}
	for _, err := range []error{
		db.Create(&customers).Error,
		db.Delete(&Customer{}, []int{2, 3}).Error,
		db.Unscoped().Model(&Customer{ID: 2}).Update("deleted_at", nil).Error,
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRandom_ConcurrentSafe_recordsGiveTheDatabase lets goroutines run random transactions on empty tables, with the
// plugin and its embedded store. The records alone give the tables as they are in the end, row for row.
func TestRandom_ConcurrentSafe_recordsGiveTheDatabase(t *testing.T) {
	t.Parallel()
	programs := 40
	if long() {
		programs = 600
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("AUDIT_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	for name, cfg := range map[string]*gorm.Config{"default": {}, "prepared+skip": {PrepareStmt: true, SkipDefaultTransaction: true}} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			t.Logf("AUDIT_TEST_SEED=%d", seed)
			db := d.open(t, cfg)
			if err := db.AutoMigrate(allModels...); err != nil {
				t.Fatal(err)
			}
			a := use(t, d, db, auditRegistry(t), true)
			sqlDB, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			empty := oracle.Snapshot{}
			for _, table := range allTables {
				empty[table.Name] = map[string]oracle.Row{}
			}
			if d.dialect == "postgres" { // keys that programs give are not those of the sequences
				for _, table := range []string{"customers", "orders", "tags", "things", "zeros"} {
					db.Exec(fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', 'id'), 1000)", table))
				}
			}
			stock(t, db)
			var wg sync.WaitGroup
			for g := range uint64(4) {
				wg.Go(func() {
					b := &business{program{rand: rand.New(rand.NewPCG(seed, g)), mysql: d.dialect == "mysql"}, d.dialect == "postgres"}
					for range programs {
						b.transact(db.WithContext(t.Context()))
					}
				})
			}
			wg.Wait()
			after, err := oracle.Take(t.Context(), sqlDB, allTables...)
			if err != nil {
				t.Fatal(err)
			}
			records := a.take(t)
			if problems := compareRecords(empty, after, records, true); len(problems) > 0 {
				t.Errorf("%d records, AUDIT_TEST_SEED=%d\n%s", len(records), seed, strings.Join(problems, "\n"))
			}
			actions := map[event.Action]int{}
			for _, r := range records {
				actions[r.Action]++
			}
			s := a.auditor.Stats()
			if s.Failed+s.Truncated+s.Unknown > 0 || len(s.Skipped) > 0 || s.Emitted != int64(len(records)) || len(actions) != 4 {
				t.Errorf("%v, statistics %+v, errors %v", actions, s, a.errs())
			}
		})
	}
}
