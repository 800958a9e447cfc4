package sqltable

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"gorm.io/gorm"
)

// configName is the name in _meta under which the configuration of a program is kept. The column is short.
func configName(program string) string {
	sum := sha256.Sum256([]byte(program))
	return "config:" + hex.EncodeToString(sum[:16])
}

// LastConfig gives the configuration that KeepConfig kept last for the program, nil if there is none.
func LastConfig(ctx context.Context, conn gorm.ConnPool, d Dialect, n Names, program string) ([]byte, error) {
	value, err := Meta(ctx, conn, d, n, configName(program))
	if err != nil || value == "" {
		return nil, err
	}
	return []byte(value), nil
}

// KeepConfig keeps the configuration of a program in _meta.
func KeepConfig(ctx context.Context, pool gorm.ConnPool, d Dialect, n Names, program string, config []byte) error {
	t, name := n.Table("_meta"), configName(program)
	return InTx(ctx, pool, d, "audit_config", nil, func(conn gorm.ConnPool) error {
		if _, err := conn.ExecContext(ctx, "DELETE FROM "+t+" WHERE name = "+d.Placeholder(1), name); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "INSERT INTO "+t+" (name, value) VALUES ("+d.Placeholder(1)+", "+d.Placeholder(2)+")", name, string(config))
		return err
	})
}
