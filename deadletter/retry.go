package deadletter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// Store takes records; see store.Writer for what Write promises.
type Store interface {
	Write(ctx context.Context, docs []store.Doc) ([]store.Result, error)
}

// Report is what Retry has done.
type Report struct {
	// Stored and Duplicates count letters that the store has taken, or had already. They are no longer open.
	Stored, Duplicates int
	// Undecodable, Refused and Conflicts count those that stay open.
	Undecodable, Refused, Conflicts int
}

// Open is how many of the letters stay open.
func (r Report) Open() int { return r.Undecodable + r.Refused + r.Conflicts }

// Bounds of what is written at once.
const (
	retryBatch = 500
	retryBytes = 4 << 20
	retryPause = 500 * time.Millisecond
)

// Retry writes the letters to the store again, with the stream and offset that they came from, and marks
// those that are there. by says who wants it. After an error the report has what was done before.
//
// They go to the store and not through the stream of records again: what became of each is known at once, so
// that it is marked only when it is stored; a record keeps its place on the stream; and nobody needs the
// right to write to the stream of records.
func (b *Box) Retry(ctx context.Context, to Store, letters []Letter, by string) (report Report, err error) {
	if strings.TrimSpace(by) == "" {
		return report, fmt.Errorf("%w: who tries again is %q, want a name", ErrWho, by)
	}
	if b.to == nil {
		return report, fmt.Errorf("%w: no appender, so that nothing could be marked", ErrConfig)
	}
	t := try{box: b, to: to, by: by, report: &report}
	err = b.each(ctx, letters, func(l Letter, m stream.Message) error {
		if err := t.add(ctx, l, m); err != nil {
			return err
		}
		if len(t.docs) < retryBatch && t.size < retryBytes {
			return nil
		}
		return t.flush(ctx)
	})
	if err == nil {
		err = t.flush(ctx)
	}
	return report, err
}

// try is one call of Retry.
type try struct {
	box     *Box
	to      Store
	by      string
	report  *Report
	letters []Letter // of docs
	docs    []store.Doc
	size    int
}

// Types of failures, which are those of the consumer's letters.
const (
	typeUndecodable = "undecodable"
	typeRefused     = "refused"
	typeConflict    = "conflict"
)

func (t *try) add(ctx context.Context, l Letter, m stream.Message) error {
	if l.Cut {
		t.report.Undecodable++
		return t.failed(ctx, l, typeUndecodable, errCut)
	}
	m.Offset = max(l.Offset, 0)
	doc, err := consumer.Document(m, l.Stream, t.box.cfg.Now(), t.box.cfg.MaxMessageSize)
	if err != nil {
		t.report.Undecodable++
		return t.failed(ctx, l, typeUndecodable, err)
	}
	t.letters, t.docs, t.size = append(t.letters, l), append(t.docs, doc), t.size+len(doc.Encoded)
	return nil
}

func (t *try) failed(ctx context.Context, l Letter, kind string, why error) error {
	reason := "unknown"
	if why != nil {
		reason = consumer.ReasonText(why)
	}
	return t.box.mark(ctx, Mark{Kind: KindFailed, By: t.by, Type: kind, Reason: reason}, l)
}

// flush writes what was collected, waiting for a store that takes nothing now as long as Patience says.
func (t *try) flush(ctx context.Context) error {
	begin := t.box.cfg.Now()
	for len(t.docs) > 0 {
		trouble, err := t.write(ctx)
		if err != nil {
			return err
		}
		if trouble == nil {
			continue
		}
		if t.box.cfg.Now().Sub(begin) >= t.box.cfg.Patience {
			return fmt.Errorf("%w: %w", ErrStore, trouble)
		}
		timer := time.NewTimer(retryPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	t.size = 0
	return nil
}

// write writes docs once, marks what has an end, and keeps the rest, which is there because of trouble.
func (t *try) write(ctx context.Context) (trouble, err error) {
	results, err := t.to.Write(ctx, t.docs)
	if err == nil && len(results) != len(t.docs) {
		err = fmt.Errorf("%w: %d for %d", errResults, len(results), len(t.docs))
	}
	if err != nil {
		return err, ctx.Err()
	}
	failpoint.Hit(failpoint.BulkAcked)
	var stored []Letter
	var again []Letter
	var docs []store.Doc
	for i, r := range results {
		l := t.letters[i]
		switch r.Status {
		case store.Stored:
			t.report.Stored++
			stored = append(stored, l)
		case store.Duplicate:
			t.report.Duplicates++
			stored = append(stored, l)
		case store.Poison:
			t.report.Refused++
			err = t.failed(ctx, l, typeRefused, r.Err)
		case store.Conflict:
			t.report.Conflicts++
			err = t.failed(ctx, l, typeConflict, r.Err)
		default:
			trouble = r.Err
			again, docs = append(again, l), append(docs, t.docs[i])
		}
		if err != nil {
			return nil, err
		}
	}
	if len(stored) > 0 {
		if err := t.box.mark(ctx, Mark{Kind: KindStored, By: t.by}, stored...); err != nil {
			return nil, err
		}
	}
	t.letters, t.docs = again, docs
	return trouble, nil
}
