package capture

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// pool stands in Statement.ConnPool while GORM's own handler runs. It captures the one statement that
// the handler built, and lets everything else through.
type pool struct {
	gorm.ConnPool
	st    *gorm.Statement
	marks marks
	run   func(query string, args []any, rows bool) (*outcome, error)
	done  bool
}

// txPool is a pool inside a transaction, which other plugins must recognise as such.
type txPool struct {
	*pool
	gorm.TxCommitter
}

// captureOf gives the pool that captures, nil if p does not.
func captureOf(p gorm.ConnPool) *pool {
	switch p := p.(type) {
	case *pool:
		return p
	case *txPool:
		return p.pool
	}
	return nil
}

// Unwrap gives the pool that the statement runs on.
func (p *pool) Unwrap() gorm.ConnPool { return p.ConnPool }

// GetDBConn gives the *sql.DB, for gorm.DB.DB.
func (p *pool) GetDBConn() (*sql.DB, error) {
	if c, ok := p.ConnPool.(gorm.GetDBConnector); ok {
		return c.GetDBConn()
	}
	if c, ok := p.ConnPool.(*sql.DB); ok {
		return c, nil
	}
	return nil, gorm.ErrInvalidDB
}

func (p *pool) main(query string) bool {
	if p.done || query != p.st.SQL.String() {
		return false
	}
	p.done = true
	return true
}

// ExecContext captures the main statement that asks for no rows.
func (p *pool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if !p.main(query) {
		return p.ConnPool.ExecContext(ctx, query, args...)
	}
	out, err := p.run(query, args, false)
	if err != nil {
		return nil, err
	}
	return out.result, nil
}

// QueryContext captures the main statement with a RETURNING clause of GORM or the caller.
func (p *pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !p.main(query) {
		return p.ConnPool.QueryContext(ctx, query, args...)
	}
	out, err := p.run(query, args, true)
	if err != nil {
		return nil, err
	}
	return out.user.open(ctx)
}

// marks say where the clauses begin in the text of a statement, and how many variables stand before.
type marks struct {
	set, from, where, order, limit, returning mark
}

type mark struct {
	at, vars int
	ok       bool
}

func (m *marks) of(name string) *mark {
	switch name {
	case "SET":
		return &m.set
	case "FROM":
		return &m.from
	case "WHERE":
		return &m.where
	case "ORDER BY":
		return &m.order
	case "LIMIT":
		return &m.limit
	default:
		return &m.returning
	}
}

func (m *marks) put(name string, st *gorm.Statement) {
	*m.of(name) = mark{st.SQL.Len(), len(st.Vars), true}
}
