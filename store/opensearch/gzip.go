package opensearch

import (
	"compress/gzip"
	"fmt"
	"sync"
)

// compressors are used again: each has 800 KB of tables.
var compressors = sync.Pool{New: func() any {
	// The fastest level: to send less is worth little processor time.
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the error is for a level that there is not
	return z
}}

// compress appends the compressed lines of items, which are in body, to dst.
func compress(dst, body []byte, items []item) ([]byte, error) {
	out := appender{dst}
	z := compressors.Get().(*gzip.Writer) //nolint:forcetypeassert // only those are put
	defer compressors.Put(z)
	z.Reset(&out)
	for _, it := range items {
		if _, err := z.Write(body[it.start:it.end]); err != nil {
			return dst, fmt.Errorf("opensearch: compress: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return dst, fmt.Errorf("opensearch: compress: %w", err)
	}
	return out.b, nil
}

// appender is a writer to memory.
type appender struct{ b []byte }

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
