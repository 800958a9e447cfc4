package capture

import (
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/internal/tx"
)

// register is the one table of the callbacks.
func (e *engine) register(db *gorm.DB) error {
	// GORM logs each replaced callback.
	saved := db.Config.Logger
	db.Config.Logger = logger.Discard
	defer func() { db.Config.Logger = saved }()

	c := db.Callback()
	errs := []error{
		c.Create().Replace("gorm:create", e.handler(create, c.Create().Get("gorm:create"))),
		c.Update().Replace("gorm:update", e.handler(update, c.Update().Get("gorm:update"))),
		c.Delete().Replace("gorm:delete", e.removal(c.Delete().Get("gorm:delete"))),
		c.Delete().Replace("gorm:delete_before_associations", e.associations(c.Delete().Get("gorm:delete_before_associations"))),
		c.Raw().Replace("gorm:raw", e.raw(c.Raw().Get("gorm:raw"))),
		c.Row().Replace("gorm:row", e.raw(c.Row().Get("gorm:row"))),
		c.Query().Replace("gorm:query", e.raw(c.Query().Get("gorm:query"))),
		c.Raw().After("gorm:raw").Register("audit:count_raw", e.countRaw),
		c.Row().Register("audit:count_raw", e.countRaw),
		c.Query().Register("audit:count_raw", e.countRaw),
		c.Raw().Register(probeName, func(db *gorm.DB) {
			if p, ok := db.Statement.Dest.(*probe); ok {
				p.engine = e
			}
		}),
	}
	// Sessions made before, connections and resolvers bring pools of their own. With
	// SkipDefaultTransaction nothing begins here, and the handlers wrap the pool themselves.
	if f := c.Create().Get("gorm:begin_transaction"); f != nil {
		errs = append(errs, c.Create().Before("gorm:begin_transaction").Register("audit:wrap_pool", e.wrapStatement))
	}
	if f := c.Update().Get("gorm:begin_transaction"); f != nil {
		errs = append(errs, c.Update().Before("gorm:begin_transaction").Register("audit:wrap_pool", e.wrapStatement))
	}
	if f := c.Delete().Get("gorm:begin_transaction"); f != nil {
		errs = append(errs, c.Delete().Before("gorm:begin_transaction").Register("audit:wrap_pool", e.wrapStatement))
	}
	// A resolver chooses a pool as soon as Clauses(dbresolver.Use(…)) is called, before a Begin.
	const resolver = "gorm:db_resolver"
	if choose := c.Query().Get(resolver); choose != nil {
		errs = append(errs, c.Query().Before("*").Replace(resolver, func(db *gorm.DB) {
			choose(db)
			e.wrapStatement(db)
		}))
	}
	return errors.Join(errs...)
}

func (e *engine) wrapStatement(db *gorm.DB) {
	if _, rewrites := stranger(db.Statement.ConnPool); rewrites {
		laidBare(db.Statement.ConnPool)
		return
	}
	db.Statement.ConnPool = tx.Wrap(db.Statement.ConnPool, e.tx)
}
