package outbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/filelock"
)

// lock is what one queue of a table has at a time. It saves the others the work; that they do no harm is
// not up to it.
type lock interface {
	// hold gives the connection to work on, nil if another queue has the lock. fresh says that the lock was
	// not held before.
	hold(ctx context.Context) (conn gorm.ConnPool, fresh bool, err error)
	// failed says that a statement on the connection has failed.
	failed()
	// release gives the lock back.
	release(ctx context.Context)
}

// connLock is a lock of the database that belongs to a connection, on which everything is done: if it
// works, the lock is held.
type connLock struct {
	db          *sql.DB
	try, unlock string // statements with the name as their argument
	name        string
	conn        *sql.Conn
}

func newConnLock(db *sql.DB, try, unlock, name string) (lock, error) {
	if open := db.Stats().MaxOpenConnections; open == 1 {
		return nil, fmt.Errorf("%w: it has one connection, and the queue needs one for itself: SetMaxOpenConns(2) or more, or a pool of its own", ErrPool)
	}
	return &connLock{db: db, try: try, unlock: unlock, name: name}, nil
}

func (l *connLock) hold(ctx context.Context) (gorm.ConnPool, bool, error) {
	if l.conn != nil {
		return l.conn, false, nil
	}
	conn, err := l.db.Conn(ctx)
	if err != nil {
		return nil, false, err
	}
	var got sql.NullBool
	if err := conn.QueryRowContext(ctx, l.try, l.name).Scan(&got); err != nil {
		return nil, false, errors.Join(err, conn.Close())
	}
	if !got.Bool {
		return nil, false, conn.Close()
	}
	l.conn = conn
	return conn, true, nil
}

// failed ends the connection: nobody knows in which state it is, and the lock must not stay with a
// connection of the pool.
func (l *connLock) failed() {
	if l.conn == nil {
		return
	}
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool does not take it back
	_ = l.conn.Close()
	l.conn = nil
}

func (l *connLock) release(ctx context.Context) {
	if l.conn == nil {
		return
	}
	var done sql.NullBool
	if err := l.conn.QueryRowContext(ctx, l.unlock, l.name).Scan(&done); err != nil || !done.Bool {
		l.failed()
		return
	}
	_ = l.conn.Close()
	l.conn = nil
}

// fileLock is a locked file, of which the path is "" if none is needed.
type fileLock struct {
	db   *sql.DB
	path string
	file *os.File
	held bool
}

func (l *fileLock) hold(context.Context) (gorm.ConnPool, bool, error) {
	if l.held {
		return l.db, false, nil
	}
	if l.path != "" {
		f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, false, fmt.Errorf("outbox: lock file: %w", err)
		}
		ok, err := filelock.Try(f)
		if err != nil || !ok {
			return nil, false, errors.Join(err, f.Close())
		}
		l.file = f
	}
	l.held = true
	return l.db, true, nil
}

func (l *fileLock) failed() {}

func (l *fileLock) release(context.Context) {
	if l.file != nil {
		filelock.Release(l.file)
		_ = l.file.Close()
		l.file = nil
	}
	l.held = false
}
