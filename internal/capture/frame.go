package capture

import (
	"context"

	"github.com/gormtrail/audit/internal/tx"
)

// frameKey is the context key of the unit of one call outside a transaction. Nested statements inherit
// the context.
type frameKey struct{}

func frameOf(ctx context.Context) *tx.Unit {
	if u, ok := ctx.Value(frameKey{}).(*tx.Unit); ok && u.Open() {
		return u
	}
	return nil
}
