package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/MUKE-coder/sentinel/v2/core"
	sentinelgorm "github.com/MUKE-coder/sentinel/v2/gorm"
	"github.com/MUKE-coder/sentinel/v2/pipeline"
	"github.com/MUKE-coder/sentinel/v2/storage/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/bench/harness"
)

// guarded is sentinel's plugin on a handle, with the pipeline and the store of its defaults: four workers,
// and a SQLite file of its own.
type guarded struct {
	uncounted
	pipe   *pipeline.Pipeline
	store  *sqlite.Store
	folder string
	seen   int64
}

func installSentinel(db *gorm.DB) (harness.Installed, error) {
	folder, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	store, err := sqlite.New(filepath.Join(folder, "sentinel.db"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	g := &guarded{pipe: pipeline.New(0), store: store, folder: folder}
	if err := store.Migrate(context.Background()); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	g.pipe.AddHandler(pipeline.HandlerFunc(func(ctx context.Context, e pipeline.Event) error {
		if log, ok := e.Payload.(*core.AuditLog); ok && e.Type == pipeline.EventAudit {
			return store.SaveAuditLog(ctx, log)
		}
		return nil
	}))
	g.pipe.Start(4)
	if err := db.Use(sentinelgorm.New(g.pipe)); err != nil {
		return nil, errors.Join(err, g.Close(context.Background()))
	}
	return g, nil
}

// Recorded reads the library's table once all that was emitted is in it.
func (g *guarded) Recorded(ctx context.Context, _ *gorm.DB) ([]harness.Recorded, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		logs, total, err := g.store.ListAuditLogs(ctx, core.AuditFilter{PageSize: 10})
		if err != nil {
			return nil, err
		}
		if emitted := g.pipe.EmittedCount(); total >= emitted {
			n := min(int(total-g.seen), len(logs))
			g.seen = total
			var out []harness.Recorded
			for _, l := range logs[:n] {
				out = append(out, harness.Recorded{Key: l.ResourceID, Old: l.Before, New: l.After})
			}
			return out, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records are stored: %w", total, g.pipe.EmittedCount(), ctx.Err())
		}
	}
}

func (g *guarded) Close(context.Context) error {
	g.pipe.Stop()
	return g.remove()
}

func (g *guarded) remove() error { return errors.Join(g.store.Close(), os.RemoveAll(g.folder)) }
