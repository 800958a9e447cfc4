package audit_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// galaxy is a dialect on which no test runs, with a database below that nobody knows.
type galaxy struct{ gorm.Dialector }

func (galaxy) Name() string { return "galaxy" }

func TestUse_untestedDialect(t *testing.T) {
	t.Parallel()
	openGalaxy := func(t *testing.T) (*gorm.DB, *audit.Registry) {
		t.Helper()
		plain := open(t, galaxy{sqlite.Open(filepath.Join(t.TempDir(), "t.db"))}, &gorm.Config{})
		return plain, bosses(t, plain)
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		plain, reg := openGalaxy(t)
		err := plain.Use(audit.New(audit.Config{Registry: reg, MaxRows: -1}))
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{`dialect "galaxy" is not tested`, "PostgreSQL 15", "Config.AllowUntested", "MaxRows"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		must(t, plain.Create(&Boss{ID: 1}).Error)
	})
	t.Run("allowed", func(t *testing.T) {
		t.Parallel()
		plain, reg := openGalaxy(t)
		rec := &recorder{}
		var log bytes.Buffer
		must(t, plain.Use(audit.New(audit.Config{
			Registry: reg, Scope: audit.ScopeAll, Sink: rec, AllowUntested: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})))
		if s := log.String(); !strings.Contains(s, "level=WARN") || !strings.Contains(s, "galaxy") {
			t.Error(s)
		}
		must(t, plain.Create(&Boss{ID: 1, Name: "a"}).Error)
		must(t, plain.Model(&Boss{ID: 1}).Update("name", "b").Error)
		if r := rec.take(); len(r) != 2 || r[1].Action != audit.ActionChange || len(r[1].Changes) != 1 {
			t.Errorf("want two records:\n%s", lines(r))
		}
	})
	t.Run("allowed, but the embedded store does not know it", func(t *testing.T) {
		t.Parallel()
		plain, reg := openGalaxy(t)
		err := plain.Use(audit.New(audit.Config{Registry: reg, AllowUntested: true}))
		if err == nil || !strings.Contains(err.Error(), `"galaxy"`) {
			t.Error(err)
		}
	})
}
