package audit_test

import (
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// Client, Purchase and Item are a chain of three.
type Client struct {
	ID        uint
	Name      string
	Purchases []Purchase
}

type Purchase struct {
	ID       uint
	Number   string
	ClientID uint
	Client   *Client
	Items    []Item `gorm:"constraint:OnDelete:CASCADE"`
}

func (p Purchase) String() string { return "purchase " + p.Number }

type Item struct {
	ID         uint
	Product    string
	PurchaseID uint
	Purchase   *Purchase
}

func (i Item) String() string { return "item " + i.Product }

func shop(t *testing.T) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Item{}, audit.Target("purchase")))
	must(t, reg.Register(&Purchase{}, audit.Target(&Client{})))
	must(t, reg.Register(&Client{}))
	return reg
}

// TestTarget_chain: line item -> order -> customer, at every level and action.
func TestTarget_chain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: shop(t)})
		ada := Client{Name: "Ada", Purchases: []Purchase{{Number: "P1", Items: []Item{{Product: "tea"}, {Product: "cup"}}}}}
		must(t, db.Create(&ada).Error)
		rec.expect(t, `ADD client 1 "Ada"`, `ADD client 1 "Ada" from purchase 1 "purchase P1"`,
			`ADD client 1 "Ada" from item 1 "item tea"`, `ADD client 1 "Ada" from item 2 "item cup"`)
		bob := Client{Name: "Bob", Purchases: []Purchase{{Number: "P2"}}}
		must(t, db.Create(&bob).Error)
		rec.take()
		tea := ada.Purchases[0].Items[0]
		must(t, db.Model(&tea).Update("product", "chai").Error)
		rec.expect(t, `CHANGE client 1 "Ada" from item 1 "item chai" product:"tea"->"chai"`)
		// An item moves to the order of another customer, an order to another customer, with its items.
		must(t, db.Model(&Item{ID: tea.ID}).Update("purchase_id", bob.Purchases[0].ID).Error)
		rec.expect(t, `CHANGE client 1 "Ada" from item 1 "item chai" purchase_id:1->2`, `CHANGE client 2 "Bob" from item 1 "item chai" purchase_id:1->2`)
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&Purchase{ID: 1}).Update("client_id", bob.ID).Error)
			return tx.Model(&Item{ID: 2}).Update("product", "mug").Error
		}))
		rec.expect(t, `CHANGE client 1 "Ada" from purchase 1 "purchase P1" client_id:1->2`, `CHANGE client 2 "Bob" from purchase 1 "purchase P1" client_id:1->2`,
			`CHANGE client 2 "Bob" from item 2 "item mug" product:"cup"->"mug"`)
		// The names are the newest: the parent is renamed in the same transaction.
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&Item{ID: 2}).Error)
			return tx.Model(&bob).Update("name", "Bobby").Error
		}))
		rec.expect(t, `DELETE client 2 "Bobby" from item 2 "item mug"`, `CHANGE client 2 "Bobby" name:"Bob"->"Bobby"`)
		// An item that moves between orders of one customer is in one history once.
		must(t, db.Model(&Item{ID: 1}).Update("purchase_id", 1).Error)
		rec.expect(t, `CHANGE client 2 "Bobby" from item 1 "item chai" purchase_id:2->1`)
	})
}

// TestCascade_chain deletes at each level of the chain, in both orders; siblings of other parents stay.
func TestCascade_chain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: shop(t)})
		seed := func() (Client, Client) {
			a := Client{Name: "Ada", Purchases: []Purchase{{Number: "P1", Items: []Item{{Product: "tea"}, {Product: "cup"}}}, {Number: "P2", Items: []Item{{Product: "pot"}}}}}
			b := Client{Name: "Bob", Purchases: []Purchase{{Number: "P3", Items: []Item{{Product: "jar"}}}}}
			must(t, db.Create(&a).Error)
			must(t, db.Create(&b).Error)
			rec.take()
			return a, b
		}
		items := func(tx *gorm.DB, p ...Purchase) {
			for _, p := range p {
				must(t, tx.Where("purchase_id = ?", p.ID).Delete(&Item{}).Error)
			}
		}
		for _, parentFirst := range []bool{false, true} {
			a, b := seed()
			must(t, db.Transaction(func(tx *gorm.DB) error {
				if parentFirst {
					must(t, tx.Delete(&Client{ID: a.ID}).Error)
				}
				items(tx, append(a.Purchases, b.Purchases...)...)
				must(t, tx.Where("client_id = ?", a.ID).Delete(&Purchase{}).Error)
				if !parentFirst {
					must(t, tx.Delete(&Client{ID: a.ID}).Error)
				}
				return nil
			}))
			got := lines(rec.take())
			if !strings.Contains(got, `"Ada" cascaded:map[item:3 purchase:2]`) || !strings.Contains(got, `"Bob" from item`) || strings.Count(got, "\n") != 2 {
				t.Errorf("parent first %v:\n%s", parentFirst, got)
			}
		}
		// The order goes with its items; the customer stays.
		a, _ := seed()
		must(t, db.Select("Items").Delete(&a.Purchases[0]).Error)
		if got := lines(rec.take()); !strings.HasSuffix(got, "\"Ada\" from purchase 7 \"purchase P1\" cascaded:map[item:2]\n") || strings.Count(got, "\n") != 1 {
			t.Errorf("records:\n%s", got)
		}
		// In two transactions they are two acts.
		items(db, a.Purchases[1])
		must(t, db.Delete(&Purchase{ID: a.Purchases[1].ID}).Error)
		if got := rec.take(); len(got) != 2 || got[0].SourceModel != "item" || got[1].SourceModel != "purchase" {
			t.Errorf("records:\n%s", lines(got))
		}
		// An item that moved to another order first does not go with the old one.
		a, b := seed()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&Item{}).Where("product = ? AND purchase_id = ?", "pot", a.Purchases[1].ID).Update("purchase_id", b.Purchases[0].ID).Error)
			items(tx, b.Purchases[0])
			return tx.Delete(&Purchase{ID: a.Purchases[1].ID}).Error
		}))
		got := rec.take()
		if n := strings.Count(lines(got), "DELETE client"); n != 3 || got[len(got)-1].Extra[audit.ExtraCascaded] != nil {
			t.Errorf("records:\n%s", lines(got))
		}
	})
}

// TestCascade_ofTheDatabase: ON DELETE CASCADE is not seen, and does not matter.
func TestCascade_ofTheDatabase(t *testing.T) {
	t.Parallel()
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			plain := open(t, o.open(t), &gorm.Config{})
			if o.name == "sqlite" {
				pool, err := plain.DB()
				must(t, err)
				pool.SetMaxOpenConns(1)
				must(t, plain.Exec("PRAGMA foreign_keys = ON").Error)
			}
			db, rec := setup(t, plain, audit.Config{Registry: shop(t)})
			ada := Client{Name: "Ada", Purchases: []Purchase{{Number: "P1", Items: []Item{{Product: "tea"}}}}}
			must(t, db.Create(&ada).Error)
			rec.take()
			must(t, db.Delete(&Purchase{ID: 1}).Error)
			rec.expect(t, `DELETE client 1 "Ada" from purchase 1 "purchase P1"`)
			var n int64
			must(t, plain.Model(&Item{}).Count(&n).Error)
			if n != 0 {
				t.Errorf("%d items, want none: nothing is tested", n)
			}
		})
	}
}

// Album and Ticket have files, of which only those of albums are logged under their owner.
type Album struct {
	ID    uint
	Name  string
	Files []File `gorm:"polymorphic:Owner"`
}

type Ticket struct {
	ID    uint
	Name  string
	Files []File `gorm:"polymorphic:Owner"`
}

type File struct {
	ID        uint
	Name      string
	OwnerID   uint
	OwnerType string
}

func TestTarget_polymorphicOwners(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Album{}))
		must(t, reg.Register(&Ticket{}))
		must(t, reg.Register(&File{}, audit.Target(&Album{})))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		album := Album{Name: "summer", Files: []File{{Name: "sea"}}}
		ticket := Ticket{Name: "bug", Files: []File{{Name: "log"}}}
		must(t, db.Create(&album).Error)
		must(t, db.Create(&ticket).Error)
		rec.expect(t, `ADD album 1 "summer"`, `ADD album 1 "summer" from file 1 "sea"`, `ADD ticket 1 "bug"`, `ADD file 2 "log"`)
		// A file of the ticket 1 is no file of the album 1, though the numbers are the same.
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&File{ID: 2}).Error)
			must(t, tx.Delete(&File{ID: 1}).Error)
			return tx.Delete(&album).Error
		}))
		rec.expect(t, `DELETE file 2 "log"`, `DELETE album 1 "summer" cascaded:map[file:1]`)
		// It moves between owners of two types.
		next := Album{Name: "winter", Files: []File{{Name: "ice"}}}
		must(t, db.Create(&next).Error)
		rec.take()
		must(t, db.Model(&next.Files[0]).Updates(map[string]any{"owner_id": ticket.ID, "owner_type": "tickets"}).Error)
		r := rec.take()
		if len(r) != 1 || r[0].ObjectType != "album" || r[0].SourceModel != "file" {
			t.Errorf("records:\n%s", lines(r))
		}
	})
}

// TestCascade_savepoint: a parent's delete that is taken back suppresses nothing, one before it does.
func TestCascade_savepoint(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: shop(t)})
		ada := Client{Name: "Ada", Purchases: []Purchase{{Number: "P1"}, {Number: "P2"}}}
		must(t, db.Create(&ada).Error)
		rec.take()
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Delete(&ada.Purchases[0]).Error)
			_ = tx.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Delete(&ada.Purchases[1]).Error)
				must(t, tx.Delete(&Client{ID: ada.ID}).Error)
				return errors.New("undone")
			})
			return nil
		}))
		rec.expect(t, `DELETE client 1 "Ada" from purchase 1 "purchase P1"`)
	})
}
