package query

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

const tailPage = 100 // records in memory

func tailParams() []param {
	return []param{text("after", "begin behind this checkpoint; at the end if it is missing. The header Last-Event-ID goes before it", maxCheckpoint)}
}

// tail sends records as they arrive, as server-sent events:
//
//	event: record
//	data: {"log_id": …}
//
// An id comes behind the last record of those that were read together, so that who comes again with it as
// Last-Event-ID misses none, and may get some of them twice. Each Options.Heartbeat the Authorizer is asked
// again, and a stream whose grant is not the same any more ends.
func (h *handler) tail(r *call) {
	q := h.parse(r)
	name := "after"
	after := r.p.checkpoint(name)
	if id := r.c.GetHeader("Last-Event-ID"); id != "" {
		if name, after = "Last-Event-ID", id; !validCheckpoint(id) {
			r.p.bad(name, "invalid_checkpoint", "the id of an event of this service", "%s is no checkpoint", quote(id))
		}
	}
	feed, ok := able[store.Feed](h, r)
	if !ok {
		return
	}
	ctx := r.c.Request.Context()
	t := &tailer{h: h, r: r, feed: feed, query: granted(q.query, r.grant), at: after, w: bufio.NewWriterSize(r.c.Writer, 32<<10)}
	// The first step is made before the answer begins: then there is still a status for what goes wrong.
	found, err := t.begin(ctx)
	if err != nil {
		h.feedFailed(r, name, err)
		return
	}
	if !h.recordOutcome(r, event.OutcomeAttempted) {
		return
	}
	unbound(r)
	header := r.c.Writer.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("X-Accel-Buffering", "no")
	r.c.Status(http.StatusOK)
	err = t.run(ctx, found)
	if err != nil && ctx.Err() == nil {
		h.Logger.ErrorContext(ctx, "audit query: a live tail ended", slog.String("principal", r.grant.Principal), slog.Any("error", err))
	}
	h.recordOutcome(r, "success")
}

// unbound takes the server's time-outs, which are for whole answers, from the connection of a stream.
func unbound(r *call) {
	// What cannot be set is not there.
	_ = http.NewResponseController(r.c.Writer).SetReadDeadline(time.Time{})
}

// tailer is one stream.
type tailer struct {
	h     *handler
	r     *call
	feed  store.Feed
	query store.Query
	at    string
	w     *bufio.Writer
}

// begin gives what has arrived behind the checkpoint, or nothing and the end.
func (t *tailer) begin(ctx context.Context) (store.Changes, error) {
	if t.at != "" && t.at != checkpointNow {
		return t.next(ctx)
	}
	ctx, cancel := t.h.step(ctx)
	defer cancel()
	now, err := t.feed.Now(ctx)
	return store.Changes{Next: now}, err
}

func (t *tailer) next(ctx context.Context) (store.Changes, error) {
	ctx, cancel := t.h.step(ctx)
	defer cancel()
	return t.feed.Changes(ctx, store.ChangesRequest{After: t.at, Query: t.query, Size: tailPage})
}

// run sends what is found until the caller goes, the service ends, or the grant changes.
func (t *tailer) run(ctx context.Context, found store.Changes) error {
	poll := time.NewTicker(t.h.TailInterval)
	defer poll.Stop()
	heartbeat := time.NewTicker(t.h.Heartbeat)
	defer heartbeat.Stop()
	_, _ = t.w.WriteString(": the audit trail as it grows\n\n") // the writer keeps its error for Flush
	for {
		if err := t.send(found); err != nil {
			return err
		}
		if !found.More {
			select {
			case <-ctx.Done():
				return nil
			case <-t.h.Done:
				return nil
			case <-heartbeat.C:
				if !t.still() {
					return nil
				}
				_, _ = t.w.WriteString(": still here\n\n")
			case <-poll.C:
			}
		}
		var err error
		if found, err = t.next(ctx); err != nil {
			if errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				// The client comes again with the last id.
				_, _ = t.w.WriteString("event: unavailable\ndata: {\"retry\":true}\n\n")
				_ = send(t.r.c, t.w)
			}
			return err
		}
	}
}

// send writes the records, and behind them the checkpoint.
func (t *tailer) send(found store.Changes) error {
	for _, rec := range found.Records {
		data, err := whole(rec, t.r.grant)
		if err != nil {
			return err
		}
		_, _ = t.w.WriteString("event: record\ndata: ")
		_, _ = t.w.Write(data)
		_, _ = t.w.WriteString("\n\n")
		t.r.rows++
	}
	if found.Next != t.at {
		t.at = found.Next
		_, _ = t.w.WriteString("id: " + t.at + "\n\n")
	}
	return send(t.r.c, t.w)
}

// still reports whether the caller may see what they saw when they came.
func (t *tailer) still() bool {
	grant, err := t.h.Authorizer.Authorize(t.r.c, t.r.route.operation)
	q := store.Query{}
	return err == nil && grant.validate() == nil && !grant.empty() &&
		scopeOf(t.r.route.operation, q, grant) == scopeOf(t.r.route.operation, q, t.r.grant)
}
