package tx

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// Session follows the transactions of one connection at its driver, whoever begins and ends them. The
// package sqldriver makes it and tells it of everything that the connection is asked for.
type Session struct {
	conn gorm.ConnPool // runs statements on the connection itself

	mu      sync.Mutex
	open    bool
	marks   []string // savepoints, for units that come later
	base    int      // of marks, those that MySQL has forgotten when a transaction began in another
	units   []*Unit
	defined bool    // a definition was changed in the transaction
	manual  bool    // autocommit is off
	errs    []error // of statements in the transaction
}

// maxErrs is how many errors of statements a session remembers: the first ones end the transaction, if any.
const maxErrs = 8

// NewSession gives the session of a connection. conn runs statements on it, and is used only while the
// session is told of something.
func NewSession(conn gorm.ConnPool) *Session {
	watched.Store(true)
	return &Session{conn: conn}
}

// watched says that a driver of this process is followed at all.
var watched atomic.Bool //nolint:gochecknoglobals // without any, nothing is asked for

// Probe is a text that a driver which is followed answers itself, and that any other may run.
const Probe = "SELECT 1 /* audit: whose connection is this? */"

type slotKey struct{}

// slot is where a driver says which session it is.
type slot struct{ session *Session }

// watch gives a context in which a driver that is followed says who it is.
func watch(ctx context.Context) (context.Context, *slot) {
	if !watched.Load() {
		return ctx, nil
	}
	s := &slot{}
	return context.WithValue(ctx, slotKey{}, s), s
}

// Seen answers the question of watch and Locate, if ctx has it. It is for BeginTx and for Probe.
func (s *Session) Seen(ctx context.Context) (asked bool) {
	slot, asked := ctx.Value(slotKey{}).(*slot)
	if asked && slot.session == nil {
		slot.session = s
	}
	return asked
}

// join lets the driver follow the unit of a transaction that has just begun.
func (s *slot) join(u *Unit) {
	if s == nil || s.session == nil {
		return
	}
	u.session = s.session
	s.session.mu.Lock()
	defer s.session.mu.Unlock()
	s.session.units = append(s.session.units, u)
}

// Locate gives the session of a connection or transaction of database/sql, nil if its driver is not
// followed.
func Locate(ctx context.Context, conn gorm.ConnPool) *Session {
	ctx, slot := watch(context.WithoutCancel(ctx))
	if slot == nil {
		return nil
	}
	_, _ = conn.ExecContext(ctx, Probe) // the slot is the answer
	return slot.session
}

// wrapTx observes a transaction of database/sql if its driver is followed.
func wrapTx(t *sql.Tx, hooks *Hooks) gorm.ConnPool {
	ctx := context.Background() //nolint:forbidigo // that of the transaction is not known
	s := Locate(ctx, t)
	if s == nil {
		return t
	}
	u := s.Unit(ctx, hooks)
	if u == nil { // it was ended as text: statements commit by themselves
		u = &Unit{hooks: hooks, ctx: ctx, conn: s.conn, state: loose, session: s}
	}
	return &Tx{Tx: t, pool: &Pool{ConnPool: t, hooks: hooks}, unit: u}
}

// Unit gives what is held of the open transaction for the hooks, nil if there is none.
func (s *Session) Unit(ctx context.Context, hooks *Hooks) *Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open || s.defined && hooks.CommitsDDL {
		return nil
	}
	for _, u := range s.units {
		if u.hooks == hooks {
			return u
		}
	}
	for _, err := range s.errs {
		if hooks.Lost != nil && hooks.Lost(err) {
			return nil
		}
	}
	u := &Unit{hooks: hooks, ctx: context.WithoutCancel(ctx), conn: s.conn, session: s}
	for i, name := range s.marks {
		if i >= s.base || !hooks.CommitsDDL {
			u.marks = append(u.marks, mark{name: name})
		}
	}
	s.units = append(s.units, u)
	return u
}

// below reports whether the driver ends the unit alone.
func (u *Unit) below() bool { return u.session != nil && u.conn == u.session.conn }

// Begin says that a transaction has begun by the driver's own call.
func (s *Session) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.marks, s.base, s.units, s.defined, s.errs = true, nil, 0, nil, false, nil
}

// Commit runs do, which commits. If the step before COMMIT fails, undo rolls back, and that error is the
// one that comes back.
func (s *Session) Commit(do, undo func() error) error { return s.commit(do, undo, ended) }

func (s *Session) commit(do, undo func() error, next state) error {
	type holding struct {
		unit  *Unit
		items []Item
	}
	var held []holding
	for _, u := range s.ours() {
		h := holding{u, u.Items()}
		if len(h.items) > 0 {
			if err := u.hooks.BeforeCommit(u.ctx, s.conn, h.items); err != nil {
				return errors.Join(err, s.rollback(undo, next))
			}
		}
		held = append(held, h)
	}
	err := do()
	s.over(next)
	for _, h := range held {
		h.unit.settle(OutcomeOf(err), err, h.items, next)
	}
	return err
}

// Rollback runs do, which rolls back.
func (s *Session) Rollback(do func() error) error { return s.rollback(do, ended) }

func (s *Session) rollback(do func() error, next state) error {
	units := s.ours()
	err := do()
	s.over(next)
	for _, u := range units {
		u.settle(RolledBack, err, nil, next)
	}
	return err
}

// ours are the units that nobody above is just ending.
func (s *Session) ours() []*Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var units []*Unit
	for _, u := range s.units {
		u.mu.Lock()
		if !u.ending {
			units = append(units, u)
		}
		u.mu.Unlock()
	}
	return units
}

// over closes the transaction. One that was ended by text may be begun by text again.
func (s *Session) over(next state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.marks, s.base, s.defined, s.errs = false, nil, 0, false, nil
	if next == ended {
		s.units = nil
	}
}

// Control runs do, which sends text, and follows what the text does to the transaction.
func (s *Session) Control(query string, do func() error) error {
	mysql := s.mysql()
	controls := parse(query, mysql)
	if len(controls) == 0 {
		err := do()
		if !mysql && len(parse(query, true)) > 0 {
			s.define()
		}
		return s.check(err)
	}
	s.mu.Lock()
	open, manual := s.open, s.manual
	s.mu.Unlock()
	if len(controls) == 1 && open && implied(controls[0], mysql, manual) {
		return s.endText(controls[0], query, manual, do)
	}
	if err := do(); err != nil {
		return s.check(err)
	}
	for _, c := range controls {
		s.follow(c)
	}
	return nil
}

// mysql reports whether a unit is one of MySQL or MariaDB.
func (s *Session) mysql() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units {
		if u.hooks.CommitsDDL {
			return true
		}
	}
	return false
}

// define notes that a definition was changed, for units of MySQL that come later.
func (s *Session) define() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.defined = s.open
}

func (s *Session) endText(c control, query string, manual bool, do func() error) error {
	c.chain = c.chain || c.verb != verbAutocommitOn && manual
	e := &textEnd{
		control: c, query: query, units: s.ours(), conn: s.conn, send: s.send,
		over:  func() { s.over(loose) },
		begin: func() { s.follow(control{verb: verbBegin}) },
	}
	err := e.run(do)
	if err == nil && c.verb == verbAutocommitOn {
		s.mu.Lock()
		s.manual = false
		s.mu.Unlock()
	}
	return err
}

func (s *Session) send(query string) error {
	_, err := s.conn.ExecContext(context.Background(), query) //nolint:forbidigo // the connection's own
	return err
}

// follow does what a text has done that was not expected to end the transaction, or did more besides.
func (s *Session) follow(c control) {
	s.mu.Lock()
	manual, open := s.manual, s.open
	s.mu.Unlock()
	done := func() error { return nil }
	switch c.verb {
	case verbCommit, verbDefine:
		_ = s.commit(done, done, loose)
	case verbRollback:
		_ = s.rollback(done, loose)
	case verbPrepare:
		units := s.ours()
		s.over(loose)
		for _, u := range units {
			u.follow(c)
		}
	case verbXAEnd:
		return
	case verbAutocommitOff, verbAutocommitOn:
		if c.verb == verbAutocommitOn && manual {
			_ = s.commit(done, done, loose)
		}
		s.mu.Lock()
		s.manual = c.verb == verbAutocommitOff
		s.mu.Unlock()
		if c.verb == verbAutocommitOff && !open {
			s.move(control{verb: verbBegin})
		}
		return
	default:
		s.move(c)
		return
	}
	if c.chain || manual {
		s.move(control{verb: verbBegin})
	}
}

// move follows what begins a transaction, or moves its savepoints.
func (s *Session) move(c control) {
	s.mu.Lock()
	units := append([]*Unit(nil), s.units...)
	switch c.verb {
	case verbBegin:
		s.open, s.defined, s.base = true, false, len(s.marks)
	case verbSavepoint:
		s.marks = append(s.marks, c.name)
	case verbRollbackTo, verbRelease:
		scratch := Unit{}
		for _, name := range s.marks {
			scratch.marks = append(scratch.marks, mark{name: name})
		}
		if i := scratch.find(c.name); i >= 0 {
			if c.verb == verbRollbackTo {
				i++
			}
			s.marks = s.marks[:i]
			s.base = min(s.base, i)
		}
	default:
	}
	s.mu.Unlock()
	for _, u := range units {
		if c.verb == verbBegin {
			u.begin()
		} else {
			u.follow(c)
		}
	}
}

// check looks whether err ended the transaction, and gives err.
func (s *Session) check(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	if s.open && len(s.errs) < maxErrs {
		s.errs = append(s.errs, err)
	}
	units := append([]*Unit(nil), s.units...)
	s.mu.Unlock()
	for _, u := range units {
		_ = u.Check(err)
	}
	return err
}

// Close says that the connection is closed, which rolls back.
func (s *Session) Close() {
	_ = s.rollback(func() error { return nil }, ended)
}

// ControlText reports whether query is one statement, and controls the transaction.
func ControlText(query string) bool { return controls(query) }
