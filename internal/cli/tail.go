package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/spool"
)

type tailFlags struct {
	spool    string
	producer string
	within   string
	follow   bool
}

func (p Program) tail(c *common) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use: "tail [FOLDER]", Short: "Print the records of a spool folder, also while it is in use", Args: cobra.MaximumNArgs(1),
		Long: `tail prints the records that a spool folder holds as lines of JSON, those that the stream has and are
still kept as well as those that wait. It takes no lock and changes nothing, so that it may look into
the folder of a running application. FOLDER is what the application opens, or the folder of one
process in it. What is damaged is passed over, and said in the log.`,
		Example: "  auditlog tail /var/lib/app/audit-spool --follow\n  auditlog tail --spool /var/lib/app/audit-spool --range 1200-1300",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if f.spool != "" {
					return usagef("FOLDER is %q and --spool is %q, want one of them", args[0], f.spool)
				}
				f.spool = args[0]
			}
			return runTail(cmd.Context(), c, f, p.Stdout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.spool, "spool", "", "the spool folder of the application; also "+envSpool)
	flags.StringVar(&f.producer, "producer", "", "only records of this producer, service/uuid")
	flags.StringVar(&f.within, "range", "", rangeHelp)
	flags.BoolVarP(&f.follow, "follow", "f", false, "wait for more, until stopped")
	return cmd
}

// tailPause is how long --follow waits before it looks again.
const tailPause = 200 * time.Millisecond

func runTail(ctx context.Context, c *common, f tailFlags, out io.Writer) error {
	dir, err1 := spoolFolder(c, f.spool)
	within, err2 := spoolRange("--range", f.within)
	if err := errors.Join(err1, err2); err != nil {
		return usage(err)
	}
	t := tail{log: c.log, dir: dir, producer: f.producer, within: within, out: bufio.NewWriter(out), readers: make(map[string]*spool.Reader)}
	defer t.close()
	for {
		if err := t.look(ctx); err != nil {
			return err
		}
		if !f.follow {
			if f.producer != "" && len(t.readers) == 0 {
				return fmt.Errorf("no folder below %s is of the producer %q", dir, f.producer)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tailPause):
		}
	}
}

// tail reads all folders of a spool.
type tail struct {
	log      *slog.Logger
	dir      string
	producer string
	within   spool.Range
	out      *bufio.Writer
	readers  map[string]*spool.Reader // by folder
}

// look prints what has come since the last look.
func (t *tail) look(ctx context.Context) error {
	folders, err := spool.Folders(t.dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		reader := t.readers[folder]
		if reader == nil {
			reader, err = spool.OpenReader(folder)
			switch {
			case errors.Is(err, fs.ErrNotExist): // just being made, or removed
				continue
			case err != nil:
				return err
			case t.producer != "" && reader.Producer() != t.producer:
				continue
			}
			t.readers[folder] = reader
		}
		if err := t.print(ctx, reader); err != nil {
			return err
		}
	}
	return t.out.Flush()
}

func (t *tail) print(ctx context.Context, reader *spool.Reader) error {
	damaged := reader.Damaged()
	for ctx.Err() == nil {
		e, err := reader.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) { // its folder may just have been removed
			break
		}
		if err != nil {
			return err
		}
		if !t.within.Has(e) {
			continue
		}
		if _, err := t.out.Write(append(e.Payload, '\n')); err != nil {
			return err
		}
	}
	if n := reader.Damaged() - damaged; n > 0 {
		t.log.WarnContext(ctx, "passed over bytes that are no records", slog.String("producer", reader.Producer()), slog.Int64("bytes", n))
	}
	return nil
}

func (t *tail) close() {
	for _, reader := range t.readers {
		_ = reader.Close() // it was only read
	}
}
