package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// configPath is the file in the parent that has the configuration of a program. It is there and not in a
// folder below, which goes with its records.
func (s *Spool) configPath(program string) string {
	sum := sha256.Sum256([]byte(program))
	return filepath.Join(s.parent, "config-"+hex.EncodeToString(sum[:16])+".json")
}

// LastConfig gives the configuration that KeepConfig kept last for the program, nil if there is none. With
// KeepConfig it implements audit.ConfigKeeper, as what is in a spool does not stay there.
func (s *Spool) LastConfig(_ context.Context, program string) ([]byte, error) {
	data, err := os.ReadFile(s.configPath(program))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: read the configuration that was kept: %w", err)
	}
	return data, nil
}

// KeepConfig keeps the configuration of a program, for all processes that share the parent.
func (s *Spool) KeepConfig(_ context.Context, program string, config []byte) error {
	path := s.configPath(program)
	// Of several processes each writes a file of its own; the last one to rename it wins.
	f, err := os.CreateTemp(s.parent, "config-*.tmp")
	if err == nil {
		_, err = f.Write(config)
		err = errors.Join(err, f.Sync(), f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		} else {
			err = s.fs.SyncDir(s.parent)
		}
	}
	if err != nil {
		return fmt.Errorf("spool: keep the configuration: %w", err)
	}
	return nil
}
