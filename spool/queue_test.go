package spool_test

import (
	"path/filepath"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay/queuetest"
	"github.com/gormtrail/audit/spool"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Backend {
		dir := t.TempDir()
		var s *spool.Spool
		return queuetest.Backend{
			Open: func(testing.TB) queuetest.Queue {
				s = open(t, dir, spool.Config{})
				return s
			},
			Write: func(t testing.TB, records ...event.Record) {
				t.Helper()
				if err := s.Write(t.Context(), records); err != nil {
					t.Fatal(err)
				}
			},
			Quarantined: func(t testing.TB) int {
				t.Helper()
				files, err := filepath.Glob(filepath.Join(s.Folder(), "quarantine", "*.json"))
				if err != nil {
					t.Fatal(err)
				}
				return len(files)
			},
		}
	})
}
