package outbox

import (
	"context"
	"fmt"

	"github.com/gormtrail/audit/internal/sqltable"
)

// LastConfig gives the configuration that KeepConfig kept last for the program, nil if there is none. With
// KeepConfig it implements audit.ConfigKeeper, as what is in an outbox does not stay there.
func (o *Outbox) LastConfig(ctx context.Context, program string) ([]byte, error) {
	config, err := sqltable.LastConfig(ctx, o.pool, o.d, o.names, program)
	if err != nil {
		return nil, fmt.Errorf("outbox: read the configuration kept in %s: %w", o.names.Table("_meta"), err)
	}
	return config, nil
}

// KeepConfig keeps the configuration of a program.
func (o *Outbox) KeepConfig(ctx context.Context, program string, config []byte) error {
	if err := sqltable.KeepConfig(ctx, o.pool, o.d, o.names, program, config); err != nil {
		return fmt.Errorf("outbox: keep the configuration in %s: %w", o.names.Table("_meta"), err)
	}
	return nil
}
