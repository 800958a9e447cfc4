package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Product is a model of the examples.
type Product struct {
	ID    uint
	Name  string
	Price string `gorm:"type:decimal(10,2)" audit:"label:Price in EUR"`
}

// printer is a sink for the examples.
type printer struct{}

func (printer) Write(_ context.Context, records []event.Record) error {
	for _, r := range records {
		fmt.Println(r.Action, r.ObjectType, r.ObjectID, r.ObjectRepr, "by", r.Username)
		if rows, ok := r.ChangeMessage.Rows(); ok {
			for _, row := range rows {
				fmt.Printf("  %s: %s -> %s\n", row.Field, row.OldValue, row.NewValue)
			}
		}
	}
	return nil
}

// openExample opens a throw-away database.
func openExample() (db *gorm.DB, done func()) {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		log.Fatal(err)
	}
	db, err = gorm.Open(sqlite.Open(filepath.Join(dir, "example.db")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&Product{}); err != nil {
		log.Fatal(err)
	}
	return db, func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
		_ = os.RemoveAll(dir)
	}
}

// The default keeps the trail in the application's own database.
func Example() {
	db, done := openExample()
	defer done()
	registry := audit.NewRegistry() // an application uses audit.Register and audit.Plugin
	if err := registry.Register(&Product{}); err != nil {
		log.Fatal(err)
	}
	if err := db.Use(audit.New(audit.Config{Registry: registry})); err != nil {
		log.Fatal(err)
	}

	ctx := audit.WithActor(context.Background(), audit.Actor{ID: "7", Username: "john.doe"})
	product := Product{Name: "Tea", Price: "2.50"}
	db.WithContext(ctx).Create(&product)
	db.WithContext(ctx).Model(&product).Update("price", "2.75")

	trail, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	page, err := trail.Search(ctx, store.Query{Ascending: true}.WithDefaults())
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range page.Records {
		fmt.Println(r.Action, r.ObjectType, r.ObjectRepr, "by", r.Username, r.ChangedFields)
	}
	// Output:
	// ADD product Tea by john.doe [id name price]
	// CHANGE product Tea by john.doe [price]
}

// Records go to a sink after COMMIT; what is rolled back never gets there.
func ExampleConfig_sink() {
	db, done := openExample()
	defer done()
	registry := audit.NewRegistry()
	if err := registry.Register(&Product{}); err != nil {
		log.Fatal(err)
	}
	if err := db.Use(audit.New(audit.Config{Registry: registry, Sink: audit.Tee(printer{})})); err != nil {
		log.Fatal(err)
	}
	ctx := audit.WithActor(context.Background(), audit.Actor{Username: "john.doe"})
	_ = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		tx.Create(&Product{Name: "Nothing"})
		return errors.New("changed my mind")
	})
	tea := Product{Name: "Tea", Price: "2.50"}
	db.WithContext(ctx).Create(&tea)
	db.WithContext(ctx).Model(&tea).Update("price", "2.75")
	// Output:
	// ADD product 1 Tea by john.doe
	// CHANGE product 1 Tea by john.doe
	//   Price in EUR: "2.5" -> "2.75"
}

func ExampleRunBatch() {
	db, done := openExample()
	defer done()
	registry := audit.NewRegistry()
	if err := registry.Register(&Product{}); err != nil {
		log.Fatal(err)
	}
	if err := db.Use(audit.New(audit.Config{Registry: registry, Sink: printer{}})); err != nil {
		log.Fatal(err)
	}
	ctx := audit.WithActor(context.Background(), audit.Actor{Username: "john.doe"})
	opts := audit.BatchOptions{Action: audit.ActionImport, Model: &Product{}, Extra: audit.Fields{"import_source": "products.csv"}}
	err := audit.RunBatch(db.WithContext(ctx), opts, func(ctx context.Context, b *audit.Batch) error {
		for i, name := range []string{"Tea", ""} {
			if name == "" {
				b.AddError(fmt.Errorf("row %d: no name", i+1))
				continue
			}
			if err := db.WithContext(ctx).Create(&Product{Name: name}).Error; err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// ADD product 1 Tea by john.doe
	// IMPORT product   by john.doe
	// <nil>
}

func ExampleLog() {
	db, done := openExample()
	defer done()
	registry := audit.NewRegistry()
	if err := db.Use(audit.New(audit.Config{Registry: registry, Sink: printer{}})); err != nil {
		log.Fatal(err)
	}
	ctx := audit.WithActor(context.Background(), audit.Actor{Username: "john.doe"})
	err := audit.Log(db.WithContext(ctx), audit.Entry{
		Action: audit.ActionExport, Object: &Product{ID: 3, Name: "Tea"}, Extra: audit.Fields{"export_format": "xlsx"},
	})
	fmt.Println(err)
	// Output:
	// EXPORT product 3 Tea by john.doe
	// <nil>
}

func ExampleRegistry_AllInfo() {
	registry := audit.NewRegistry()
	err := registry.Register(&Product{}, audit.AppLabel("shop"))
	fmt.Println(registry.AllInfo(), err)
	// Output:
	// [{shop product Product Products}] <nil>
}
