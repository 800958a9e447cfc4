package filelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/gormtrail/audit/event"
)

// chunk is how much is written at once; a file of the smallest size takes it.
const chunk = 512 << 10

// Log is a log file. It is an audit.Sink. Make one with Open.
type Log struct {
	path string

	mu     sync.Mutex
	out    *lumberjack.Logger
	file   os.FileInfo // what the path was after the last write; nil: nothing was written
	torn   bool        // the file ends within a line
	closed bool
	stats  Stats
}

// Stats are the numbers of a log file at one moment.
type Stats struct {
	// Written counts records, Failed those that could not be encoded or written.
	Written, Failed uint64
	// Replaced counts how often the file had been renamed or removed by somebody else.
	Replaced uint64
}

// Open opens the file, and makes it and its folder if they are missing.
func Open(path string, config Config) (*Log, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("filelog: the name of the file is empty")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("filelog: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("filelog: %w", err)
	}
	torn, err := endsWithinLine(path)
	if err != nil {
		return nil, fmt.Errorf("filelog: %w", err)
	}
	out := &lumberjack.Logger{
		Filename: path, MaxSize: config.MaxSize, MaxBackups: max(config.MaxBackups, 0), MaxAge: int(config.MaxAge / day), Compress: config.Compress,
	}
	return &Log{path: path, out: out, torn: torn}, nil
}

// endsWithinLine reports whether a process that was killed, or a full disk, has left half a line.
func endsWithinLine(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // it is only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// Write appends the records. It implements audit.Sink.
func (l *Log) Write(ctx context.Context, records []event.Record) error {
	return l.WriteEncoded(ctx, records, nil)
}

// Durable says that what was taken is not synced to the disk. It implements audit.DurableSink.
func (l *Log) Durable() bool { return false }

// WriteEncoded is Write for records that are encoded already, as event.Encode does it. encodings may be nil,
// and so may each of them.
func (l *Log) WriteEncoded(_ context.Context, records []event.Record, encodings [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.stats.Failed += uint64(len(records))
		return ErrClosed
	}
	var errs []error
	var lines []byte
	count := 0
	end := func() {
		if count == 0 {
			return
		}
		if err := l.append(lines); err != nil {
			errs = append(errs, fmt.Errorf("filelog: %d records not written: %w", count, err))
			l.stats.Failed += uint64(count)
		} else {
			l.stats.Written += uint64(count)
		}
		lines, count = lines[:0], 0
	}
	for i := range records {
		var encoded []byte
		var err error
		if i < len(encodings) {
			encoded = encodings[i]
		}
		if encoded == nil {
			encoded, err = event.Encode(records[i])
		}
		if err != nil {
			l.stats.Failed++
			errs = append(errs, fmt.Errorf("filelog: record %q: %w", records[i].LogID, err))
			continue
		}
		if len(lines)+len(encoded) >= chunk {
			end()
		}
		lines = append(append(lines, encoded...), '\n')
		count++
	}
	end()
	return errors.Join(errs...)
}

// append writes whole lines to the file that has the path now.
func (l *Log) append(lines []byte) error {
	if err := l.follow(); err != nil {
		return err
	}
	if err := l.write(lines); err != nil {
		return err
	}
	now, err := os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		// Removed in this moment, perhaps before the write: twice is better than not at all.
		l.file = nil
		if err = l.replaced(); err == nil {
			err = l.write(lines)
		}
		if err == nil {
			now, err = os.Stat(l.path)
		}
	}
	l.file = now
	return err
}

// follow looks whether the path is still the file that was written last.
func (l *Log) follow() error {
	now, err := os.Stat(l.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if l.file == nil { // after a rotation that failed
			return nil
		}
		return l.replaced()
	case err != nil:
		return err
	case l.file != nil && !os.SameFile(l.file, now):
		return l.replaced()
	}
	return nil
}

// replaced lets go of the file, so that the next write opens what has its name.
func (l *Log) replaced() error {
	l.stats.Replaced++
	l.torn = false
	return l.out.Close()
}

func (l *Log) write(lines []byte) error {
	if l.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := l.out.Write(lines)
	switch {
	case err == nil:
		l.torn = false
	case n > 0:
		l.torn = lines[n-1] != '\n'
	}
	return err
}

// Stats gives the numbers of now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Close closes the file. It may be called again.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if err := l.out.Close(); err != nil {
		return fmt.Errorf("filelog: %w", err)
	}
	return nil
}

// String gives the name of the file, for audit.Tee.
func (l *Log) String() string { return "filelog(" + l.path + ")" }
