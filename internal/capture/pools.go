package capture

import (
	"database/sql"
	"fmt"
	"reflect"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// stranger gives the type of the first pool below p that is not known to send statements as it is given
// them, "" if there is none. A pool that only passes on says so by a method Unwrap() gorm.ConnPool.
func stranger(p gorm.ConnPool) (name string, rewrites bool) {
	for {
		switch x := p.(type) {
		case nil, *sql.DB, *sql.Conn, *sql.Tx:
			return "", false
		case *gorm.PreparedStmtDB:
			p = x.ConnPool
		case *gorm.PreparedStmtTX:
			p = x.Tx
		case interface{ Unwrap() gorm.ConnPool }:
			p = x.Unwrap()
		default:
			t := reflect.TypeOf(p)
			for t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			return fmt.Sprintf("%T", p), t.PkgPath() == "gorm.io/sharding"
		}
	}
}

// checkPool refuses a pool that is not known, and sharding, whose pool comes with each statement.
func checkPool(db *gorm.DB) error {
	if _, ok := db.Config.Plugins["gorm:sharding"]; ok {
		return fmt.Errorf("%w: gorm.io/sharding sends other statements than it is given, which cannot be captured; "+
			"Config.AllowUntested leaves them alone and counts them", ErrDialect)
	}
	if name, _ := stranger(db.Config.ConnPool); name != "" {
		return fmt.Errorf("%w: connection pool %s may send other statements than it is given; give it a method "+
			"Unwrap() gorm.ConnPool if it does not, or set Config.AllowUntested", ErrDialect, name)
	}
	return nil
}

// laidBare takes our pool out of one of sharding, which is made for each statement. By the type of the pool
// below it sharding decides whether it begins and ends transactions (v0.6.1): with ours below it would send
// statements to the table that is not sharded, and commit the application's transaction.
func laidBare(p gorm.ConnPool) {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	f := v.Elem().FieldByName("ConnPool")
	if !f.IsValid() || !f.CanSet() || f.Type() != reflect.TypeFor[gorm.ConnPool]() {
		return
	}
	switch inner := f.Interface().(type) {
	case *tx.Pool:
		f.Set(reflect.ValueOf(inner.Unwrap()))
	case *tx.Conn:
		f.Set(reflect.ValueOf(inner.Unwrap()))
	case *tx.Tx:
		f.Set(reflect.ValueOf(inner.Unwrap()))
	}
}

// strange reports whether a statement goes through a pool by which it cannot be captured.
func (e *engine) strange(st *gorm.Statement) bool {
	name, rewrites := stranger(st.ConnPool)
	return rewrites || name != "" && !e.cfg.AllowUntested
}

// asItIs runs a statement of a strange pool, and counts it. The strict policy does not let it run.
func (e *engine) asItIs(db *gorm.DB, k kind, orig func(*gorm.DB), m *Model) {
	st := db.Statement
	if e.strict(&write{model: m, kind: k}) {
		name, _ := stranger(st.ConnPool)
		err := fmt.Errorf("%w: %s %s: table %q", ErrCapture, ReasonPool, name, TableName(st))
		e.failed(st, err)
		_ = db.AddError(err)
		return
	}
	orig(db)
	if db.Error == nil && !db.DryRun && db.RowsAffected != 0 {
		e.skipped(st, ReasonPool)
	}
}
