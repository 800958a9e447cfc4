package audit

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

type taking struct{ records int }

func (s *taking) WriteTx(_ context.Context, _ gorm.ConnPool, records []event.Record) error {
	s.records += len(records)
	return nil
}

// TestStrict_unmadeRecord_failsTheTransaction: an image that is not as long as it should be stands for
// whatever may go wrong in making a record; also when it is the only one.
func TestStrict_unmadeRecord_failsTheTransaction(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		for _, alone := range []bool{false, true} {
			h, good := accountChange(t, capture.Insert)
			sink := &taking{}
			h.txSink = sink
			if strict {
				h.tables.Load().policies.base = Strict
			}
			bad := *good
			bad.after = bad.after[:3]
			items := []tx.Item{&bad}
			if !alone {
				items = append(items, good)
			}
			err := h.beforeCommit(t.Context(), nil, items)
			var lost *DeliverError
			if strict != errors.As(err, &lost) {
				t.Errorf("strict %v, alone %v: %v", strict, alone, err)
			}
			if want := len(items) - 1; sink.records != want {
				t.Errorf("%d records, want %d", sink.records, want)
			}
			if n := h.auditor.Stats().Errors[KindCapture]; n != 1 {
				t.Errorf("%d errors told, want 1", n)
			}
		}
	}
}
