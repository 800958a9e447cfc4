package tx

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"
)

// stateError is an error of PostgreSQL.
type stateError string

func (s stateError) Error() string    { return "SQLSTATE " + string(s) }
func (s stateError) SQLState() string { return string(s) }

// numbered is an error of MySQL, as its driver has it.
type numbered struct {
	Number   uint16
	SQLState [5]byte
}

func (n *numbered) Error() string { return fmt.Sprint("Error ", n.Number) }

// unsent is an error of pgx behind which nothing was sent.
type unsent struct{ safe bool }

func (unsent) Error() string       { return "conn closed" }
func (u unsent) SafeToRetry() bool { return u.safe }

// coded is an error of a driver of SQLite in Go.
type coded int

func (c coded) Error() string { return fmt.Sprintf("error (%d)", int(c)) }
func (c coded) Code() int     { return int(c) }

// extended is an error of the driver of SQLite through C.
type extended struct {
	Code         int
	ExtendedCode int
}

func (e extended) Error() string { return fmt.Sprintf("error %d", e.Code) }

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want Outcome
	}{
		"none":                      {nil, Committed},
		"constraint":                {stateError("23503"), RolledBack},
		"serialization":             {stateError("40001"), RolledBack},
		"raised by a trigger":       {stateError("P0001"), RolledBack},
		"cancelled by the server":   {stateError("57014"), RolledBack},
		"aborted":                   {errors.New("commit unexpectedly resulted in rollback"), RolledBack},
		"shutdown":                  {stateError("57P01"), Unknown},
		"connection exception":      {stateError("08006"), Unknown},
		"completion unknown":        {stateError("40003"), Unknown},
		"disk full":                 {stateError("53100"), Unknown},
		"not sent":                  {fmt.Errorf("x: %w", unsent{true}), RolledBack},
		"maybe sent":                {unsent{}, Unknown},
		"bad connection":            {driver.ErrBadConn, Unknown},
		"end of file":               {io.ErrUnexpectedEOF, Unknown},
		"context":                   {fmt.Errorf("timeout: %w", context.Canceled), Unknown},
		"mysql deadlock":            {fmt.Errorf("x: %w", &numbered{Number: 1213}), RolledBack},
		"mysql shutdown":            {&numbered{Number: 1053}, Unknown},
		"mysql killed":              {&numbered{Number: 1927}, Unknown},
		"mysql connection":          {errors.New("invalid connection"), Unknown},
		"sqlite busy":               {coded(5), RolledBack},
		"sqlite constraint":         {coded(787), RolledBack},
		"sqlite disk":               {coded(1034), Unknown},
		"sqlite through C":          {extended{5, 5}, RolledBack},
		"sqlite through C, pointer": {&extended{10, 266}, Unknown},
		"anything else":             {errors.New("x"), Unknown},
	} {
		if got := OutcomeOf(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestOutcome_String(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(Committed, RolledBack, Unknown, Outcome(0)); got != "committed rolled back unknown no outcome" {
		t.Error(got)
	}
}

// ending is a transaction that is told how its COMMIT ends.
type ending struct {
	cancel context.CancelFunc // called while COMMIT is sent
	err    error
}

func (e ending) commit() error {
	if e.cancel != nil {
		e.cancel()
	}
	return e.err
}

// What an error of COMMIT means depends on when the context has ended.
func TestUnit_commit_tellsTheOutcome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, during bool // the context ends
		err            error
		next           state
		want           Outcome
	}{
		"no error":               {err: nil, next: ended, want: Committed},
		"answered after the end": {during: true, err: nil, next: ended, want: Committed},
		"not let through":        {before: true, err: context.Canceled, next: ended, want: RolledBack},
		"in flight, bare":        {during: true, err: context.Canceled, next: ended, want: Unknown},
		"rolled back at the end": {before: true, err: errDone, next: ended, want: RolledBack},
		"ended by somebody else": {err: errDone, next: ended, want: Unknown},
		"in flight":              {during: true, err: fmt.Errorf("timeout: %w", context.Canceled), next: ended, want: Unknown},
		"lost":                   {err: io.EOF, next: ended, want: Unknown},
		"as text, in flight":     {during: true, err: context.Canceled, next: loose, want: Unknown},
		"refused":                {err: stateError("23503"), next: ended, want: RolledBack},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if c.before {
			cancel()
		}
		l := &log{}
		u := NewUnit(ctx, l.hooks())
		u.Add(1, "a")
		committed := "not called"
		u.OnEnd(func(ok bool) { committed = fmt.Sprint(ok) })
		e := ending{err: c.err}
		if c.during {
			e.cancel = cancel
		}
		if err := u.commit(e.commit, c.next, false); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		got := RolledBack
		switch {
		case len(l.released) == 1 && len(l.discarded)+len(l.doubts) == 0:
			got = Committed
		case len(l.doubts) == 1 && len(l.discarded)+len(l.released) == 0:
			got = Unknown
			if !errors.Is(l.cause, c.err) {
				t.Errorf("%s: cause %v", name, l.cause)
			}
		case len(l.discarded) != 1 || len(l.released)+len(l.doubts) != 0:
			t.Errorf("%s: released %v, discarded %v, in doubt %v", name, l.released, l.discarded, l.doubts)
		}
		if got != c.want || committed != fmt.Sprint(c.want == Committed) {
			t.Errorf("%s: %v, want %v; OnEnd was told %v", name, got, c.want, committed)
		}
	}
}

// Without a hook for it, what is in doubt is discarded.
func TestUnit_inDoubt_withoutHook_isDiscarded(t *testing.T) {
	t.Parallel()
	l := &log{}
	h := l.hooks()
	h.InDoubt = nil
	u := NewUnit(t.Context(), h)
	u.Add(1, "a")
	if err := u.commit(func() error { return io.EOF }, ended, false); !errors.Is(err, io.EOF) || len(l.discarded) != 1 {
		t.Error(err, l.discarded)
	}
}
