package tx

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"gorm.io/gorm"
)

// Pool is a connection pool whose transactions are observed. It has no Commit and Rollback, since
// plugins take a pool that has them for a transaction.
type Pool struct {
	gorm.ConnPool
	hooks *Hooks
}

var (
	_ gorm.ConnPoolBeginner = (*Pool)(nil)
	_ gorm.GetDBConnector   = (*Pool)(nil)
)

// Wrap gives pool with its transactions observed. Prepared statements stay outside, since the cache of
// GORM must see the texts that are sent. A pool that is observed already, a transaction, and a pool that
// cannot begin one come back unchanged.
func Wrap(pool gorm.ConnPool, hooks *Hooks) gorm.ConnPool {
	switch p := pool.(type) {
	case *Pool, *Conn:
		return p
	case *sql.Conn:
		c := &Conn{Pool: Pool{ConnPool: p, hooks: hooks}}
		c.unit = &Unit{hooks: hooks, ctx: context.Background(), conn: p, state: loose} //nolint:forbidigo // a connection outlives contexts
		c.unit.session = Locate(c.unit.ctx, p)
		return c
	case *gorm.PreparedStmtDB:
		inner := Wrap(p.ConnPool, hooks)
		if inner == p.ConnPool {
			return p
		}
		mux := p.Mux
		if mux == nil {
			mux = &sync.RWMutex{}
		}
		return &gorm.PreparedStmtDB{ConnPool: inner, Mux: mux, Stmts: p.Stmts}
	case *sql.Tx:
		return wrapTx(p, hooks)
	case *gorm.PreparedStmtTX:
		inner, ok := p.Tx.(*sql.Tx)
		if !ok {
			return p
		}
		if t, ok := wrapTx(inner, hooks).(*Tx); ok {
			return &gorm.PreparedStmtTX{Tx: t, PreparedStmtDB: p.PreparedStmtDB}
		}
		return p
	case gorm.TxCommitter:
		return pool
	case gorm.TxBeginner, gorm.ConnPoolBeginner:
		return &Pool{ConnPool: pool, hooks: hooks}
	default:
		return pool
	}
}

// Unwrap gives the pool that p observes.
func (p *Pool) Unwrap() gorm.ConnPool { return p.ConnPool }

// BeginTx begins a transaction that is observed.
func (p *Pool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	var inner gorm.ConnPool
	ctx, slot := watch(ctx)
	switch b := p.ConnPool.(type) {
	case gorm.TxBeginner:
		t, err := b.BeginTx(ctx, opts)
		if err != nil {
			return nil, err // and not a nil *sql.Tx, which would be no nil interface
		}
		inner = t
	case gorm.ConnPoolBeginner:
		t, err := b.BeginTx(ctx, opts)
		if err != nil {
			return nil, err
		}
		inner = t
	default:
		return nil, gorm.ErrInvalidTransaction
	}
	t, ok := inner.(gorm.Tx)
	if !ok {
		return inner, nil
	}
	u := &Unit{hooks: p.hooks, ctx: ctx, conn: t}
	slot.join(u)
	return &Tx{Tx: t, pool: p, unit: u}, nil
}

// GetDBConn gives the *sql.DB, for gorm.DB.DB.
func (p *Pool) GetDBConn() (*sql.DB, error) {
	switch c := p.ConnPool.(type) {
	case *sql.DB:
		return c, nil
	case gorm.GetDBConnector:
		return c.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}

// Ping checks the connection, as *sql.DB does.
func (p *Pool) Ping() error {
	if c, ok := p.ConnPool.(interface{ Ping() error }); ok {
		return c.Ping()
	}
	return nil
}

// Conn is one connection (gorm.DB.Connection) whose transactions are observed, those that are begun and
// ended as SQL text among them.
type Conn struct {
	Pool
	unit *Unit // holds items while a transaction begun as text is open
}

// ExecContext runs a statement and follows the transactions in its text.
func (c *Conn) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	err = c.unit.control(query, func() error {
		result, err = c.Pool.ExecContext(ctx, query, args...)
		return err
	})
	return result, err
}

// QueryContext runs a query and follows the transactions in its text.
func (c *Conn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return c.unit.query(ctx, c.Pool.ConnPool, query, args)
}

// QueryRowContext runs a query and follows the transactions in its text.
func (c *Conn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return c.unit.queryRow(ctx, c.Pool.ConnPool, query, args)
}

// Tx is a transaction that is observed. It has no BeginTx, by which GORM knows that it is in a
// transaction already.
type Tx struct {
	gorm.Tx
	pool *Pool
	unit *Unit
}

var _ gorm.Tx = (*Tx)(nil)

// Unit gives what the transaction holds.
func (t *Tx) Unit() *Unit { return t.unit }

// Unwrap gives the transaction that t observes, usually a *sql.Tx.
func (t *Tx) Unwrap() gorm.ConnPool { return t.Tx }

// GetDBConn gives the *sql.DB, for gorm.DB.DB.
func (t *Tx) GetDBConn() (*sql.DB, error) { return t.pool.GetDBConn() }

// Commit commits and releases the items. If the step before commit fails, it rolls back and gives that
// error.
func (t *Tx) Commit() error {
	if t.unit.below() {
		return t.Tx.Commit()
	}
	err := t.unit.commit(t.Tx.Commit, ended, true)
	if b, ok := err.(*beforeCommitError); ok { //nolint:errorlint // made by commit, never wrapped
		if rerr := t.Rollback(); rerr != nil {
			return fmt.Errorf("%w (rollback: %w)", b.err, rerr)
		}
		return b.err
	}
	return err
}

// Rollback rolls back and drops the items.
func (t *Tx) Rollback() error {
	if t.unit.below() {
		return t.Tx.Rollback()
	}
	return t.unit.rollback(t.Tx.Rollback, ended)
}

// ExecContext runs a statement and follows savepoints and ends of transactions in its text.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	err = t.Control(query, func() error {
		result, err = t.Tx.ExecContext(ctx, query, args...)
		return err
	})
	return result, err
}

// QueryContext runs a query and follows savepoints and ends of transactions in its text.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.unit.query(ctx, t.Tx, query, args)
}

// QueryRowContext runs a query and follows savepoints and ends of transactions in its text.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.unit.queryRow(ctx, t.Tx, query, args)
}

// Find gives the unit of the transaction that pool is, nil if pool is no transaction. observed is false
// for a transaction whose end is not seen.
func Find(pool gorm.ConnPool) (unit *Unit, observed bool) {
	switch p := pool.(type) {
	case *Tx:
		return p.unit, true
	case *Conn:
		if s := p.unit.session; s != nil {
			return s.Unit(p.unit.ctx, p.hooks), true
		}
		if p.unit.Open() {
			return p.unit, true
		}
		return nil, true
	case *gorm.PreparedStmtTX:
		if p.Tx == nil {
			return nil, false
		}
		return Find(p.Tx)
	case interface{ Unwrap() gorm.ConnPool }:
		return Find(p.Unwrap())
	case gorm.TxCommitter:
		return nil, false
	}
	return nil, true
}

// Pinned reports whether pool is one connection that somebody holds: a transaction, or gorm.DB.Connection.
// Whatever asks for another one meanwhile may wait for ever, as a pool may have only one.
func Pinned(pool gorm.ConnPool) bool {
	switch p := pool.(type) {
	case *Conn, *sql.Conn, gorm.TxCommitter:
		return true
	case *gorm.PreparedStmtDB:
		return Pinned(p.ConnPool)
	case interface{ Unwrap() gorm.ConnPool }:
		return Pinned(p.Unwrap())
	}
	return false
}

// Of gives the observed transaction that pool is, nil if it is none.
func Of(pool gorm.ConnPool) *Tx {
	switch p := pool.(type) {
	case *Tx:
		return p
	case *gorm.PreparedStmtTX:
		if p.Tx == nil {
			return nil
		}
		return Of(p.Tx)
	}
	return nil
}
