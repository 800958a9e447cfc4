package capture_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/internal/tx"
)

// ordered is a recorder that knows in which order transactions committed: the step before COMMIT runs
// while the locks are held, so of two that touch one row the first is first.
type ordered struct {
	recorder
	mu2  sync.Mutex
	last int
	seq  map[*numbered]int
	done []*numbered
}

type numbered struct{ change capture.Change }

func (o *ordered) hooks() capture.Hooks {
	h := o.recorder.hooks()
	h.InTx = true
	h.Captured = func(_ *gorm.Statement, changes []capture.Change, summary *capture.Summary) []tx.Item {
		var items []tx.Item
		for _, c := range changes {
			items = append(items, &numbered{c})
		}
		if summary != nil {
			items = append(items, *summary)
		}
		return items
	}
	h.BeforeCommit = func(_ context.Context, _ gorm.ConnPool, items []tx.Item) error {
		o.mu2.Lock()
		defer o.mu2.Unlock()
		for _, item := range items {
			if n, ok := item.(*numbered); ok {
				o.last++
				o.seq[n] = o.last
			}
		}
		return nil
	}
	h.AfterCommit = func(_ context.Context, items []tx.Item) {
		o.mu2.Lock()
		defer o.mu2.Unlock()
		for _, item := range items {
			if n, ok := item.(*numbered); ok {
				o.done = append(o.done, n)
			} else {
				o.summaries = append(o.summaries, item.(capture.Summary)) //nolint:forcetypeassert // nothing else is given
			}
		}
	}
	return h
}

func (o *ordered) changes() []oracle.Change {
	slices.SortFunc(o.done, func(a, b *numbered) int { return o.seq[a] - o.seq[b] })
	var out []oracle.Change
	for _, n := range o.done {
		c := n.change
		out = append(out, oracle.Change{
			Table: c.Table, Before: row(c.Model, c.Before), After: row(c.Model, c.After), NoBefore: c.Note == capture.NoteNoBefore, Op: opName(c.Op),
		})
	}
	return out
}

// program makes random transactions.
type program struct {
	rand  *rand.Rand
	mysql bool
}

func (p *program) id() uint { return uint(p.rand.IntN(12) + 1) }

// step makes one write; its error is the database's own affair.
func (p *program) step(db *gorm.DB) error {
	n := p.rand.IntN(1000)
	code := fmt.Sprint("c", p.rand.IntN(8))
	switch p.rand.IntN(16) {
	case 0:
		return db.Create(&Order{ID: p.id(), Title: strconv.Itoa(n)}).Error
	case 1:
		return db.Create(&[]Order{{Title: "a"}, {Title: "b", Amount: n}}).Error
	case 2, 3:
		return amount(db, p.id(), n)
	case 4:
		return db.Model(&Order{}).Where("id > ?", p.id()).UpdateColumn("amount", gorm.Expr("amount + 1")).Error
	case 5:
		return db.Delete(&Order{ID: p.id()}).Error
	case 6:
		return db.Save(&Order{ID: p.id(), Title: "saved", Amount: n}).Error
	case 7:
		return db.Where("amount % 7 = ?", n%7).Delete(&Order{}).Error
	case 8:
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"})}).
			Create(&Thing{Code: code, Rank: n}).Error
	case 9:
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&Thing{Code: code, Rank: n}).Error
	case 10:
		return db.Where("code = ?", code).Delete(&Thing{}).Error
	case 11:
		return db.Model(&Zero{}).Where("name = ?", code).Update("name", "x"+code).Error
	case 12:
		return db.Create(&Zero{Name: code}).Error
	case 13:
		return db.Where("name LIKE ?", "%"+code).Delete(&Zero{}).Error
	case 14:
		pairs := []Pair{{A: n%5 + 1, B: code, V: n}, {A: n%7 + 1, B: "x", V: n}}
		if p.mysql { // of several, which were added meanwhile is not known: a summary says so
			pairs = pairs[:1]
		}
		return db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&pairs).Error
	default:
		return db.Model(&Pair{A: n%5 + 1, B: code}).Update("b", "y").Error
	}
}

// run makes one transaction, or a few writes outside one.
func (p *program) run(db *gorm.DB) {
	defer func() {
		if r := recover(); r != nil && r != "program" {
			panic(r)
		}
	}()
	switch p.rand.IntN(5) {
	case 0:
		_ = p.step(db)
	case 1:
		t := db.Begin()
		if err := p.step(t); err != nil {
			// After a deadlock of MariaDB statements commit one by one, in an order that nobody sees.
			t.Rollback()
			return
		}
		if p.rand.IntN(2) == 0 {
			t.SavePoint("a")
			if err := p.step(t); err != nil {
				t.Rollback()
				return
			}
			t.RollbackTo("a")
		}
		if err := p.step(t); err != nil || p.rand.IntN(3) == 0 {
			t.Rollback()
		} else {
			t.Commit()
		}
	default:
		_ = db.Transaction(func(tx *gorm.DB) error { return p.body(tx, 0) })
	}
}

func (p *program) body(t *gorm.DB, depth int) error {
	for range p.rand.IntN(4) + 1 {
		switch n := p.rand.IntN(20); {
		case n < 3 && depth < 3:
			err := t.Transaction(func(t *gorm.DB) error { return p.body(t, depth+1) })
			if err != nil && (!errors.Is(err, errNo) || p.rand.IntN(2) == 0) {
				return err
			}
		case n == 3:
			return errNo
		case n == 4:
			panic("program")
		default:
			if err := p.step(t); err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
				return err
			}
		}
	}
	return nil
}

// TestRandom_ConcurrentSafe_changesGiveTheDatabase lets goroutines run random transactions; replaying the
// changes from the empty tables gives the tables as they are in the end, row for row.
func TestRandom_ConcurrentSafe_changesGiveTheDatabase(t *testing.T) {
	t.Parallel()
	programs := 40
	if long() {
		programs = 1000
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("AUDIT_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	tables := []oracle.Table{
		{Name: "orders", Keys: []string{"id"}},
		{Name: "things", Keys: []string{"id"}},
		{Name: "zeros", Keys: []string{"id"}, Soft: "deleted_at", Alive: "1970-01-01T00:00:01Z"},
		{Name: "pairs", Keys: []string{"a", "b"}},
	}
	for name, cfg := range map[string]*gorm.Config{"default": {}, "prepared+skip": {PrepareStmt: true, SkipDefaultTransaction: true}} {
		forEachNamed(t, name, func(t *testing.T, d database) {
			t.Logf("AUDIT_TEST_SEED=%d", seed)
			o := &ordered{seq: map[*numbered]int{}}
			db := d.open(t, cfg)
			models := []any{&Order{}, &Thing{}, &Zero{}, &Pair{}}
			if err := db.AutoMigrate(models...); err != nil {
				t.Fatal(err)
			}
			o.register(t, db, models...)
			d.install(t, db, o.hooks(), capture.Config{})
			sqlDB, _ := db.DB()
			before, err := oracle.Take(t.Context(), sqlDB, tables...)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for g := range uint64(4) {
				wg.Go(func() {
					p := &program{rand: rand.New(rand.NewPCG(seed, g)), mysql: d.dialect == "mysql"}
					for range programs {
						p.run(db.WithContext(t.Context()))
					}
				})
			}
			wg.Wait()
			after, err := oracle.Take(t.Context(), sqlDB, tables...)
			if err != nil {
				t.Fatal(err)
			}
			changes := o.changes()
			got, wrong := before.Replay(changes, tables...)
			if diff := cmp.Diff(after, got); diff != "" || len(wrong) > 0 {
				t.Errorf("%d changes\n%v\n%s", len(changes), wrong, diff)
			}
			if len(changes) == 0 || len(o.failed)+len(o.skipped)+len(o.summaries) > 0 {
				t.Error(len(changes), o.failed, o.skipped, o.summaries)
			}
		})
	}
}
