package spool

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
)

// BenchmarkWrite gives the records a second of 1 to 256 callers with records of 1 KB, and the ratio to a
// file that is synced for each record.
func BenchmarkWrite(b *testing.B) {
	record := event.Record{LogID: event.NewID(time.Now()), Timestamp: time.Now(), Action: event.ActionAdd, ObjectRepr: strings.Repeat("x", 850)}
	encoded, err := event.Encode(record)
	if err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			single := syncEach(b, encoded)
			config := testConfig()
			config.MaxBytes, config.SegmentBytes, config.CommitTimeout = 8<<30, 16<<20, time.Minute
			s, err := Open(b.TempDir(), config)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			n := int64(max(b.N, callers))
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			begin := time.Now()
			for range callers {
				wg.Go(func() {
					for next.Add(1) <= n {
						if err := s.Write(context.Background(), []event.Record{record}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			rate := float64(n) / time.Since(begin).Seconds()
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(rate/single, "ratio")
		})
	}
}

// syncEach gives the records a second of a file that is synced for each.
func syncEach(b *testing.B, encoded []byte) float64 {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 200
	begin := time.Now()
	for range n {
		if _, err := f.Write(encoded); err != nil {
			b.Fatal(err)
		}
		if err := (osFile{f}).Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(begin).Seconds()
}
