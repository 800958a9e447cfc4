package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

const rangeHelp = "sequences FROM-TO, such as 1200-1500, or times FROM/TO in RFC 3339; either end may be left out"

// spoolFolder finds the spool folder of the flag, or else of the environment.
func spoolFolder(c *common, flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = c.getenv(envSpool)
	}
	if dir == "" {
		return "", fmt.Errorf("which spool? set --spool or %s to the spool folder of the application, or --outbox to its database", envSpool)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("--spool (or %s): %w", envSpool, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("--spool (or %s) is %q, which is no folder", envSpool, dir)
	}
	return dir, nil
}

// spoolRange reads the value of the flag; an empty one is everything.
func spoolRange(flag, value string) (r spool.Range, err error) {
	if value == "" {
		return r, nil
	}
	bad := fmt.Errorf("%s is %q, want %s", flag, value, rangeHelp)
	if from, to, isTime := strings.Cut(value, "/"); isTime {
		for _, end := range []struct {
			text string
			at   *time.Time
		}{{from, &r.Since}, {to, &r.Until}} {
			if end.text == "" {
				continue
			}
			if *end.at, err = time.Parse(time.RFC3339, end.text); err != nil {
				return spool.Range{}, bad
			}
		}
		if r.Since.IsZero() && r.Until.IsZero() || !r.Until.IsZero() && !r.Since.Before(r.Until) {
			return spool.Range{}, bad
		}
		return r, nil
	}
	from, to, both := strings.Cut(value, "-")
	if !both {
		to = from
	}
	for _, end := range []struct {
		text string
		seq  *uint64
	}{{from, &r.From}, {to, &r.To}} {
		if end.text == "" {
			continue
		}
		if *end.seq, err = strconv.ParseUint(end.text, 10, 64); err != nil || *end.seq == 0 {
			return spool.Range{}, bad
		}
	}
	if r == (spool.Range{}) || r.To > 0 && r.To < r.From {
		return spool.Range{}, bad
	}
	return r, nil
}

// runRefill sends a range again.
func runRefill(ctx context.Context, c *common, f relayFlags, out io.Writer) error {
	dir, err1 := spoolFolder(c, f.spool)
	within, err2 := spoolRange("--refill", f.refill)
	target, err3 := rabbit.ConfigFromEnv(c.getenv)
	if err := errors.Join(err1, err2, err3); err != nil {
		return usage(err)
	}
	folders, err := refillFolders(dir, f.producer)
	if err != nil {
		return usage(err)
	}
	if len(folders) > 1 && (within.From > 0 || within.To > 0) {
		return usagef("%s has %d producers with sequences of their own, want --producer or a range of times", dir, len(folders))
	}
	for _, folder := range folders {
		if err := refillOne(ctx, c, folder, within, target, out); err != nil {
			return err
		}
	}
	return nil
}

// refillFolders gives the folders below dir, or that of the producer.
func refillFolders(dir, producer string) ([]string, error) {
	folders, err := spool.Folders(dir)
	if err != nil {
		return nil, err
	}
	if producer == "" {
		if len(folders) == 0 {
			return nil, fmt.Errorf("--spool is %q, which has no folder of a producer", dir)
		}
		return folders, nil
	}
	var known []string
	for _, folder := range folders {
		reader, err := spool.OpenReader(folder)
		if err != nil {
			return nil, err
		}
		if reader.Producer() == producer {
			return []string{folder}, nil
		}
		known = append(known, reader.Producer())
	}
	return nil, fmt.Errorf("--producer is %q, want one of %s", producer, quoted(known))
}

func refillOne(ctx context.Context, c *common, folder string, within spool.Range, target rabbit.Config, out io.Writer) (err error) {
	queue, err := spool.OpenRefill(folder, within)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	r, err := relay.New(queue, rabbit.Dialer(target), relay.Config{Logger: c.log})
	if err != nil {
		return err
	}
	if err := r.Run(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%d records of %s were sent again, as %s\n", r.Stats().Confirmed-queue.TooLarge(), queue.Of(), queue.Producer())
	if n := queue.TooLarge(); n > 0 {
		return fmt.Errorf("%d records of %s are too large for the stream", n, queue.Of())
	}
	if ctx.Err() != nil {
		return errors.New("stopped before the end of the range")
	}
	return nil
}
