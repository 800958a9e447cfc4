package capture_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
)

// useOther is what a resolver's Use does: it chooses the pool at once.
type useOther struct{}

func (useOther) Build(clause.Builder) {}

func (useOther) ModifyStatement(st *gorm.Statement) {
	st.Settings.Store("other", true)
	st.DB.Callback().Query().Get("gorm:db_resolver")(st.DB)
}

// A resolver that was installed before has pools that are not observed.
func TestInstall_afterAResolver_transactionsAreObserved(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := openSQLite(t, &gorm.Config{})
	other := openSQLite(t, &gorm.Config{})
	err := db.Callback().Query().Before("*").Register("gorm:db_resolver", func(db *gorm.DB) {
		if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
			return
		}
		if _, ok := db.Statement.Settings.Load("other"); ok {
			db.Statement.ConnPool = other.ConnPool
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.AutoMigrate(&item{}); err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &item{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	tx := db.Clauses(useOther{}).Begin()
	tx.Create(&item{Name: "a"})
	tx.SavePoint("s")
	tx.Create(&item{Name: "b"})
	tx.RollbackTo("s")
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	tx = db.Clauses(useOther{}).Begin()
	tx.Create(&item{Name: "c"})
	tx.Rollback()
	wantOps(t, r, "insert items 1")
}

// endingPool ends a context as soon as the database has given rows.
type endingPool struct {
	*sql.DB
	end context.CancelFunc
}

func (p *endingPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := p.DB.QueryContext(ctx, query, args...)
	p.end()
	return rows, err
}

// Unwrap says that statements are passed on as they are.
func (p *endingPool) Unwrap() gorm.ConnPool { return p.DB }

// The context ends when SQLite has added the row, but before it was read.
func TestSQLite_contextEndsBehindTheStatement_isRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	plain := openSQLite(t, &gorm.Config{})
	if err := plain.AutoMigrate(&item{}); err != nil {
		t.Fatal(err)
	}
	raw, err := plain.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool := &endingPool{DB: raw, end: func() {}}
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{SkipDefaultTransaction: true})
	if err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &item{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	db.Create(&item{Name: "first"}) // asks the catalogue
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		pool.end = cancel
		_ = db.WithContext(ctx).Create(&item{Name: "a"}).Error // which may be the end of ctx
		pool.end = func() {}
	}
	var rows int64
	if err := plain.Model(&item{}).Count(&rows).Error; err != nil || int(rows) != len(r.ops()) {
		t.Errorf("%v, %d rows, %d records, skipped %v, failed %v", err, rows, len(r.ops()), r.skipped, r.failed)
	}
}
