package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
)

func TestRun_printsWhatTheTrailSays(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ADD customer A2: code, name, phone\n", "CHANGE customer A1: phone\n", "IMPORT by jane: 3 customers, 2 errors\n",
		"line 4: the code is missing\n", "line 6: record on line 6: wrong number of fields\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestImport_eachRowIsARecordOfTheBatch(t *testing.T) {
	t.Parallel()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	registry := audit.NewRegistry()
	rec := audittest.Install(t, db, audit.Config{Registry: registry})
	if err := errors.Join(db.AutoMigrate(&Customer{}), registry.Register(&Customer{})); err != nil {
		t.Fatal(err)
	}
	ctx := audit.WithActor(t.Context(), audit.Actor{ID: "7", Username: "jane"})
	id, err := Import(db.WithContext(ctx), "x.csv", strings.NewReader("code,name,phone\nB1,Ben,1\n,x,2\nB1,Ben,3\n"))
	if err != nil {
		t.Fatal(err)
	}
	rec.Records().Match(t,
		audittest.Want{Action: audit.ActionAdd, Object: "customer B1", By: "jane", Batch: id, Extra: map[string]any{"import_source": "x.csv"}},
		audittest.Want{Action: audit.ActionChange, Object: "customer B1", By: "jane", Batch: id, Fields: audittest.Fields{"phone": {"1", "3"}}},
		audittest.Want{Action: audit.ActionImport, Object: "customer", Batch: id},
	)
}
