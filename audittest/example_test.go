package audittest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
)

// A recorder is a sink: here it shows what an application records.
func ExampleRecorder() {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if pool, err := db.DB(); err == nil {
		defer pool.Close()
	}
	if err := db.AutoMigrate(&Employee{}); err != nil {
		log.Fatal(err)
	}
	reg := audit.NewRegistry()
	if err := reg.Register(&Employee{}); err != nil {
		log.Fatal(err)
	}
	rec := audittest.New()
	if err := db.Use(audit.New(audit.Config{Registry: reg, Sink: rec, Clock: rec.Clock.Now})); err != nil {
		log.Fatal(err)
	}
	ctx := audit.WithActor(context.Background(), audit.Actor{ID: "1", Username: "john.doe"})
	bob := Employee{ID: 3, Name: "Bob"}
	if err := db.WithContext(ctx).Create(&bob).Error; err != nil {
		log.Fatal(err)
	}
	if err := db.WithContext(ctx).Model(&bob).Update("name", "Robert").Error; err != nil {
		log.Fatal(err)
	}
	fmt.Print(rec.Records().Text())
	// Output:
	// ADD employee 3 "Bob", by john.doe
	//   id: 3
	//   name: "Bob"
	// CHANGE employee 3 "Robert", by john.doe
	//   name: "Bob" -> "Robert"
}
