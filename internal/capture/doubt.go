package capture

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/gormtrail/audit/internal/tx"
)

// lost reports whether err, of a statement that commits by itself, leaves open whether it has committed: it
// was sent, or may have been, and the connection or its context ended before all of the answer came. Drivers
// give the error of a context that ends meanwhile bare (pgx, that of MySQL), as database/sql does for one
// that ends while it waits for a connection.
func (w *write) lost(err error) bool {
	if !w.calls.sent || !w.calls.alive || tx.OutcomeOf(err) != tx.Unknown {
		return false
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	var network net.Error
	var state interface{ SQLState() string }
	switch {
	case w.st.Context.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.As(err, &network), errors.As(err, &state):
		return true
	}
	// What the driver of MySQL says of a lost connection, and of a server that ends.
	return strings.HasPrefix(err.Error(), "invalid connection") || strings.HasPrefix(err.Error(), "Error ")
}

// inDoubt hands on that a statement may have written rows, if nobody knows whether it has. The images that
// came are not all that may be, so a summary stands for them.
func (e *engine) inDoubt(w *write, cause error) {
	if e.tx.InDoubt == nil || !w.lost(cause) {
		return
	}
	w.drop()
	op := w.updateOp()
	switch {
	case w.kind == create:
		op = Insert
	case w.kind == remove && !strings.HasPrefix(w.query, "UPDATE"):
		op = Delete
	}
	var items []tx.Item
	err := e.safe(w.st, func() error {
		standing := w.st.ConnPool
		w.st.ConnPool = w.conn // for queries of the root's
		defer func() { w.st.ConnPool = standing }()
		items = e.hooks.Captured(w.st, nil, &Summary{
			Model: w.model, Table: w.name, Op: op, Statement: w.query, Time: e.cfg.Now(), InDoubt: true,
		})
		return nil
	})
	if err != nil {
		e.skipped(w.st, ReasonPanic)
		return
	}
	if len(items) > 0 {
		e.tx.InDoubt(context.WithoutCancel(w.st.Context), items, cause)
	}
}

// maybeCommitted hands on what a statement has changed in a transaction of its own, if the answer to its COMMIT
// was lost. The frame that would hold it ends as having committed, which it may not have.
func (e *engine) maybeCommitted(w *write, cause error) {
	unit := tx.NewUnit(context.WithoutCancel(w.st.Context), e.tx)
	_ = e.deliver(w, unit) // the caller learns of the lost answer
	unit.Abandon(cause)
}
