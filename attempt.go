package audit

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

// Outcomes of a record besides OutcomeUnknown.
const (
	OutcomeSuccess = "success"
	OutcomeFailure = "failure"
	// OutcomeAttempted is of the intent that Attempt writes before a Strict act. If no record with the same
	// ExtraAttempt follows it, the act was attempted, and nobody knows how it ended.
	OutcomeAttempted = event.OutcomeAttempted
)

const (
	// ExtraAttempt is the extra field that links the intent of an act and its outcome.
	ExtraAttempt = "attempt_id"
	// ExtraError is the extra field with the error of an act that failed, in words.
	ExtraError = "error"
)

// Attempt does an act that no database transaction holds, such as a login, an export or a call of another
// system, and records how it ended: e with the outcome "success", or "failure" and the error of act in
// words. It returns the error of act. act gets the context of db.
//
// If the policy of e is Strict, the intent is recorded first, with the outcome "attempted": act runs only
// when the sink has taken that (a TxSink in a transaction of its own), and else the error wraps ErrRefused
// and says why; a handler answers 503 with Retry-After. So an act that happened has a record whatever
// happens to the process: an intent alone means that it was attempted. If afterwards the outcome cannot be
// recorded, that is an error too, beside that of act.
//
// With the other policies only the outcome is recorded, and that it could not be is no error of Attempt.
// In a context of Skip act runs unrecorded, and is counted. A panic of act is recorded and goes on.
//
// An error wraps ErrEntry, and act does not run, if e is no record, has an outcome already, or if db is in
// a transaction: Log is for acts that vanish with one. It is ErrNotInstalled if db has no plugin.
func Attempt(db *gorm.DB, e Entry, act func(ctx context.Context) error) (err error) {
	h := handleOf(db)
	if h == nil {
		return ErrNotInstalled
	}
	ctx := db.Statement.Context
	switch unit, observed := tx.Find(db.Statement.ConnPool); {
	case act == nil:
		return fmt.Errorf("%w: there is no act", ErrEntry)
	case e.Outcome != "":
		return fmt.Errorf("%w: outcome is %q, want none: it is that of the act", ErrEntry, e.Outcome)
	case unit != nil || !observed:
		return fmt.Errorf("%w: an attempt is in no transaction, as its records must outlive one: use Log, or a handle outside", ErrEntry)
	}
	intent, err := h.entry(ctx, e)
	if err != nil {
		return err
	}
	if s := scopeOf(ctx); s != nil && s.skip {
		if h.auditor.skipped(ctx, intent.name, SkipAsked) {
			h.noticeSkip(db, intent.name)
		}
		return act(ctx)
	}
	h.noticeSelf(db)
	at := &attempt{handle: h, db: db, entry: e, strict: h.policyOf(intent) == Strict}
	if at.strict {
		at.id = event.NewID(h.auditor.cfg.Clock())
		setExtra(&intent.entry.base, ExtraAttempt, at.id)
		intent.say(OutcomeAttempted, "Attempted: ")
		if err := h.log(db, intent, true); err != nil {
			return fmt.Errorf("%w: its intent could not be recorded: %w", ErrRefused, err)
		}
	}
	ended := false
	defer func() {
		if ended {
			return
		}
		v := recover()
		if v == nil {
			_ = at.outcome(errors.New("its goroutine ended")) // runtime.Goexit: there is nobody to tell
			return
		}
		_ = at.outcome(&PanicError{Where: "the act", Value: v}) // the panic is what the caller has to know
		panic(v)
	}()
	err = act(ctx)
	ended = true
	return errors.Join(err, at.outcome(err))
}

// attempt is an act under way.
type attempt struct {
	handle *handle
	db     *gorm.DB
	entry  Entry
	strict bool
	id     string // links the two records; empty if there is only one
}

// outcome records how the act ended. The error is of Strict.
func (at *attempt) outcome(failure error) error {
	h := at.handle
	// The client may be gone, and the act has happened.
	ctx := context.WithoutCancel(at.db.Statement.Context)
	p, err := h.entry(ctx, at.entry)
	if err == nil {
		r := &p.entry.base
		r.Outcome = OutcomeSuccess
		if failure != nil {
			p.say(OutcomeFailure, "Failed: ")
			setExtra(r, ExtraError, cutRunes(h.auditor.safeText(failure), maxBatchError))
		}
		if at.id != "" {
			setExtra(r, ExtraAttempt, at.id)
		}
		err = h.log(at.db.WithContext(ctx), p, at.strict)
	}
	if err == nil {
		return nil
	}
	if !at.strict {
		h.auditor.report(ctx, KindSink, err)
		return nil
	}
	return fmt.Errorf("audit: the outcome of the act could not be recorded, the trail has its intent only: %w", err)
}

// say sets an outcome that the words of the entry must not contradict.
func (p *pending) say(outcome, before string) {
	p.entry.base.Outcome = outcome
	if p.entry.message == "" {
		p.entry.message = textFor(p.entry.action)
	}
	p.entry.message = before + p.entry.message
	if text, ok := p.entry.base.ChangeMessage.Text(); ok {
		p.entry.base.ChangeMessage = event.TextMessage(before + text)
	}
}

// log puts an entry into the transaction of db, or writes it at once. The error is of the sink, with
// Strict only.
func (h *handle) log(db *gorm.DB, p *pending, strict bool) error {
	if err := capture.Add(db, p); err != nil {
		return err
	}
	if lost := p.entry.lost.Load(); lost != nil && strict {
		return lost
	}
	return nil
}
