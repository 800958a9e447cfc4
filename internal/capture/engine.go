package capture

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/tx"
)

// engine is what Install puts behind the callbacks of one handle and its sessions.
type engine struct {
	hooks   Hooks
	tx      *tx.Hooks // hooks.Hooks, guarded against panics
	cfg     Config
	dialect dialect
	plans   sync.Map // planKey -> *plan
	tables  sync.Map // table as in SQL -> *table
	trusts  sync.Map // trustKey -> *trust
	called  sync.Map // naming -> called

	generation atomic.Uint32 // how often texts were changed
	savepoints atomic.Uint32 // names made on a database that is not tested
}

// safe runs f, which is auditing. A panic or error becomes an error for the caller, and is told to
// Hooks.Failed.
func (e *engine) safe(st *gorm.Statement, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrCapture, r, debug.Stack())
		}
		if err != nil {
			e.failed(st, err)
		}
	}()
	return f()
}

// failed tells Hooks.Failed; a panic in it is the end of the telling.
func (e *engine) failed(st *gorm.Statement, err error) {
	defer func() { _ = recover() }()
	e.hooks.Failed(st, err)
}

func (e *engine) skipped(st *gorm.Statement, reason string) {
	_ = e.safe(st, func() error {
		e.hooks.Skipped(st, reason)
		return nil
	})
}

// model asks what is captured of the table that st writes.
func (e *engine) model(st *gorm.Statement) (m *Model) {
	_ = e.safe(st, func() error {
		m = e.hooks.Model(st)
		return nil
	})
	return m
}
