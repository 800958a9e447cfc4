package audit

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
)

// actionProbe is of the record that db.Use writes to see whether it can be read back, and takes back.
const actionProbe Action = "PROBE"

// txReader is what a TxSink may be besides: it reads a record that was written in the open transaction.
type txReader interface {
	GetTx(ctx context.Context, conn gorm.ConnPool, logID string) (event.Record, error)
}

// errProbed takes the probe back.
var errProbed = errors.New("the probe is done")

// probe writes a record in a transaction, reads it back if the sink can, and rolls back: nothing of it is
// in the trail. A sink that cannot be read is not asked: what it took it might keep.
func (h *handle) probe(ctx context.Context) error {
	reader, ok := h.txSink.(txReader)
	if !ok {
		return nil
	}
	cfg := &h.auditor.cfg
	records := []event.Record{{
		SchemaVersion: event.SchemaVersion, Timestamp: cfg.Clock().UTC(), Action: actionProbe, ActorType: ActorSystem, Source: "audit",
		ObjectType: ObjectTypeConfig, ObjectID: h.program(), ChangeMessage: event.TextMessage("a probe at start"),
		Service: cfg.Service, Environment: cfg.Environment, Host: cfg.Host,
	}}
	h.seal(&unit{records: records}, false)
	r := &records[0]
	err := h.inTx(ctx, func(conn gorm.ConnPool) error {
		if err := guard("sink "+sinkName(h.txSink), func() error { return h.txSink.WriteTx(ctx, conn, records) }); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		found, err := reader.GetTx(ctx, conn, r.LogID)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		hash, err := event.ContentHash(found)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if hash != r.RecordHash {
			return fmt.Errorf("read: the record is not the one that was written: hash %s, want %s", hash, r.RecordHash)
		}
		return errProbed
	})
	if errors.Is(err, errProbed) {
		return nil
	}
	return fmt.Errorf("audit: the probe at start: %w", err)
}
