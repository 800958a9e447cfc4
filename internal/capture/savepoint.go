package capture

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// A savepoint of a database that is not tested goes by GORM's driver, since databases spell it in their own
// ways, and below the pool that follows savepoints. Its name is used once: drivers release none, and an
// older one of the same name must not be gone back to.

// setSavepoint sets one and gives its name, "" if the driver has none.
func (w *write) setSavepoint() (name string, err error) {
	name = savepoint + itoa(int(w.engine.savepoints.Add(1)))
	known, err := w.point(func(d gorm.SavePointerDialectorInterface, tx *gorm.DB) error { return d.SavePoint(tx, name) })
	if !known {
		return "", nil
	}
	return name, err
}

// backTo goes back to a savepoint, and reports whether it is as then.
func (w *write) backTo(name string) bool {
	known, err := w.point(func(d gorm.SavePointerDialectorInterface, tx *gorm.DB) error { return d.RollbackTo(tx, name) })
	return name != "" && known && err == nil
}

func (w *write) point(f func(gorm.SavePointerDialectorInterface, *gorm.DB) error) (known bool, err error) {
	d, known := w.st.Dialector.(gorm.SavePointerDialectorInterface)
	if !known {
		return false, nil
	}
	p := &failing{ConnPool: w.raw()}
	tx := w.st.DB.Session(&gorm.Session{NewDB: true, SkipHooks: true, Context: w.st.Context})
	tx.Statement.ConnPool = p
	if err := f(d, tx); err != nil {
		return true, err
	}
	return true, p.err
}

// failing remembers an error, which drivers of GORM do not give on.
type failing struct {
	gorm.ConnPool
	err error
}

// ExecContext runs a statement.
func (p *failing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	res, err := p.ConnPool.ExecContext(ctx, query, args...)
	if err != nil {
		p.err = err
	}
	return res, err
}

// Unwrap gives the pool below.
func (p *failing) Unwrap() gorm.ConnPool { return p.ConnPool }
