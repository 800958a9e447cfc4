package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
)

const (
	// maxBatchErrors is how many errors of a batch its summary has in words.
	maxBatchErrors = 20
	// maxBatchError is the length in characters to which one of them is cut.
	maxBatchError = 1024
)

// BatchOptions say what a batch is.
type BatchOptions struct {
	// Action is what the batch as a whole does: ActionImport, ActionExport, or a word of your own. It
	// becomes the batch_action of the records, whose own actions stay ADD, CHANGE and so on. Required.
	Action Action
	// Model is what the batch works on; it gives the object_type of the summary.
	Model any
	// Extra are fields of every record of the batch, such as import_source.
	Extra Fields
	// Always says that a summary is written without errors as well.
	//
	// Defaults to false: only a batch with errors has one.
	Always bool
	// Progress is told how many objects are committed and how many errors there were, after a commit
	// that brought objects and after AddError: not once for each of them, but always of the newest
	// numbers. Its calls do not overlap, and the numbers do not fall. It is called by the goroutine
	// that commits or adds, so it should be fast. A panic in it is recovered.
	//
	// Defaults to nothing.
	Progress func(processed, errors int64)
}

// ExtraParentBatch is the extra field of the records of a batch that was started within another one,
// with the batch_id of that.
const ExtraParentBatch = "parent_batch_id"

// Batch links the records of many changes by a batch_id. Its methods may be called concurrently.
type Batch struct {
	id         string
	action     event.Action
	objectType string
	extra      Fields
	ctx        context.Context //nolint:containedctx // what Context gives
	db         *gorm.DB
	handle     *handle
	parent     *Batch // nil: none
	always     bool
	progress   *progress

	processed atomic.Int64 // committed objects

	mu         sync.Mutex
	seen       map[objectKey]struct{} // objects that are counted
	errors     []string
	failed     int64
	ended      bool
	summarized bool
}

// StartBatch starts a batch. Changes made in its Context belong to it, whether in one transaction or
// in many. A batch is an audit context, also without an actor. End ends it.
//
// A batch started in the context of another is nested: its records have its own id and the outer one's
// extra fields and, as ExtraParentBatch, its id. Objects that it commits count for the outer batch as
// well; its errors do not, unless the application adds them there.
//
// The error wraps ErrEntry if opts are wrong, and is ErrNotInstalled if db has no plugin.
func StartBatch(db *gorm.DB, opts BatchOptions) (*Batch, error) {
	h := handleOf(db)
	if h == nil {
		return nil, ErrNotInstalled
	}
	action, err := parseAction(opts.Action)
	if err != nil {
		return nil, err
	}
	b := &Batch{id: event.NewID(h.auditor.cfg.Clock()), action: action, handle: h, always: opts.Always, extra: make(Fields)}
	if s := scopeOf(db.Statement.Context); s != nil && s.batch != nil {
		b.parent = s.batch
		maps.Copy(b.extra, b.parent.extra)
		b.extra[ExtraParentBatch] = b.parent.id
	}
	maps.Copy(b.extra, opts.Extra)
	if opts.Progress != nil {
		b.progress = &progress{tell: opts.Progress}
	}
	if !isNil(opts.Model) {
		typ, ok := typeOf(opts.Model)
		if !ok {
			return nil, fmt.Errorf("%w: the batch's model is a %T, want a struct or a pointer to one", ErrEntry, opts.Model)
		}
		t := h.current(db.Statement.Context).byType[typ]
		if t != nil {
			b.objectType = t.model.info.ModelName
		} else {
			b.objectType = strings.ToLower(typ.Name())
		}
	}
	b.ctx = with(db.Statement.Context, func(s *scope) { s.batch = b })
	b.db = db.Session(&gorm.Session{NewDB: true, Context: b.ctx})
	return b, nil
}

// RunBatch runs f in a batch and ends it, whatever f does. An error of f is added to the batch's errors
// and returned; a panic goes on.
func RunBatch(db *gorm.DB, opts BatchOptions, f func(ctx context.Context, b *Batch) error) (err error) {
	b, err := StartBatch(db, opts)
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil {
			b.AddError(fmt.Errorf("panic: %v", v))
			_ = b.End() // the panic is what the caller has to know
			panic(v)
		}
		err = errors.Join(err, b.End())
	}()
	err = f(b.Context(), b)
	b.AddError(err)
	return err
}

// ID gives the batch_id.
func (b *Batch) ID() string { return b.id }

// Context gives a context whose changes belong to the batch: db.WithContext(b.Context()).
func (b *Batch) Context() context.Context { return b.ctx }

// AddError adds an error to the summary, which has the first 20 in words. nil is no error.
func (b *Batch) AddError(err error) {
	if err == nil {
		return
	}
	// Code of the application, outside the lock.
	text := ""
	if panicked := guard("Error of an error", func() error { text = err.Error(); return nil }); panicked != nil {
		text = fmt.Sprintf("%T: %v", err, panicked)
	}
	text, _ = b.handle.auditor.rules.Document(text)
	text = cutRunes(strings.ToValidUTF8(text, "\uFFFD"), maxBatchError)
	b.mu.Lock()
	b.failed++
	if len(b.errors) < maxBatchErrors {
		b.errors = append(b.errors, text)
	}
	late := b.summarized
	b.mu.Unlock()
	if late {
		b.handle.auditor.report(b.ctx, KindBatch, fmt.Errorf("audit: an error came after the summary of batch %s: %s", b.id, text))
	}
	b.report()
}

// maxSeen is how many objects of a batch are told apart; of those beyond, each commit counts one.
const maxSeen = 100_000

// objectKey names an object.
type objectKey struct{ objectType, id string }

// processed is what one unit did for a batch.
type processed struct {
	objects []objectKey // with repetitions
	rows    int64       // that are not known one by one
}

// add counts committed objects, each once, for the batches around b as well.
func (b *Batch) add(done *processed) {
	for ; b != nil; b = b.parent {
		n := done.rows
		b.mu.Lock()
		if b.seen == nil {
			b.seen = make(map[objectKey]struct{}, len(done.objects))
		}
		for _, o := range done.objects {
			if _, again := b.seen[o]; again {
				continue
			}
			if len(b.seen) < maxSeen {
				b.seen[o] = struct{}{}
			}
			n++
		}
		b.mu.Unlock()
		if n > 0 {
			b.processed.Add(n)
			b.report()
		}
	}
}

// report tells of the progress.
func (b *Batch) report() {
	if b.progress == nil {
		return
	}
	err := b.progress.report(func() (int64, int64) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.processed.Load(), b.failed
	})
	b.handle.auditor.report(b.ctx, KindHook, err)
}

// progress makes calls that do not overlap: who comes while one is under way leaves the newest numbers
// to it, so that a callback may use the batch, and nobody waits for it.
type progress struct {
	tell func(processed, errors int64)

	mu    sync.Mutex
	busy  bool
	again bool
}

func (p *progress) report(numbers func() (int64, int64)) error {
	p.mu.Lock()
	p.again = true
	if p.busy {
		p.mu.Unlock()
		return nil
	}
	p.busy = true
	var errs []error
	for p.again {
		p.again = false
		p.mu.Unlock()
		processed, failed := numbers()
		errs = append(errs, guard("BatchOptions.Progress", func() error { p.tell(processed, failed); return nil }))
		p.mu.Lock()
	}
	p.busy = false
	p.mu.Unlock()
	return errors.Join(errs...)
}

// End ends the batch. If there were errors, or with Always, it writes the summary: how many objects were
// committed, each counted once (of more than 100,000 those that come again are counted again), how many
// errors there were, and the first of them. If the batch was started on a transaction, that waits
// for its end, be it commit or rollback, so that the summary is there in any case and its numbers are
// final; it is written in a transaction of its own. End may be called again, and then does nothing.
//
// An error is one of writing the summary, with the policy Strict only.
func (b *Batch) End() error {
	b.mu.Lock()
	ended, failed := b.ended, b.failed
	b.ended = true
	b.mu.Unlock()
	if ended || failed == 0 && !b.always {
		return nil
	}
	var written error
	deferred := true
	err := capture.OnEnd(b.db, func(bool) {
		written = b.summarize()
		if !deferred {
			return
		}
		// The end of the transaction has nobody to give an error to.
		b.handle.auditor.report(b.ctx, KindBatch, written)
	})
	deferred = false
	return errors.Join(err, written)
}

// summarize writes the summary outside the transaction that the batch was started on.
func (b *Batch) summarize() error {
	w, err := whoOf(b.ctx)
	b.handle.auditor.report(b.ctx, KindModel, err)
	b.handle.traced(b.ctx, w)
	b.mu.Lock()
	b.summarized = true
	r := event.Record{
		ObjectType: b.objectType, BatchSummary: true, TotalProcessed: b.processed.Load(), ErrorCount: b.failed,
		Errors: append([]string(nil), b.errors...),
	}
	b.mu.Unlock()
	r.ChangeMessage = event.TextMessage(fmt.Sprintf("%d processed, %d errors", r.TotalProcessed, r.ErrorCount))
	if r.TotalProcessed == 0 && r.ErrorCount > 0 {
		r.Outcome = "failure"
	}
	p := &pending{handle: b.handle, who: w, time: b.handle.auditor.cfg.Clock(), entry: &entry{action: b.action, base: r, summary: b}}
	db := b.handle.db.WithContext(context.WithoutCancel(b.ctx))
	return guard("the summary of a batch", func() error { return capture.Add(db, p) })
}
