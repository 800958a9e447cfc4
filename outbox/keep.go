package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// configName is the name in _meta under which the configuration of a program is kept. The column is short.
func configName(program string) string {
	sum := sha256.Sum256([]byte(program))
	return "config:" + hex.EncodeToString(sum[:16])
}

// LastConfig gives the configuration that KeepConfig kept last for the program, nil if there is none. With
// KeepConfig it implements audit.ConfigKeeper, as what is in an outbox does not stay there.
func (o *Outbox) LastConfig(ctx context.Context, program string) ([]byte, error) {
	value, err := sqltable.Meta(ctx, o.pool, o.d, o.names, configName(program))
	if err != nil {
		return nil, fmt.Errorf("outbox: read the configuration kept in %s: %w", o.names.Table("_meta"), err)
	}
	if value == "" {
		return nil, nil
	}
	return []byte(value), nil
}

// KeepConfig keeps the configuration of a program.
func (o *Outbox) KeepConfig(ctx context.Context, program string, config []byte) error {
	t, name := o.names.Table("_meta"), configName(program)
	err := sqltable.InTx(ctx, o.pool, "audit_outbox_config", nil, func(conn gorm.ConnPool) error {
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+t+" WHERE name = "+o.d.Placeholder(1), name); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "INSERT INTO "+t+" (name, value) VALUES ("+o.d.Placeholder(1)+", "+o.d.Placeholder(2)+")", name, string(config))
		return err
	})
	if err != nil {
		return fmt.Errorf("outbox: keep the configuration in %s: %w", t, err)
	}
	return nil
}
