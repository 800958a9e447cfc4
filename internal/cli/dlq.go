package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/deadletter"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// dlqFlags are those of all commands below dlq.
type dlqFlags struct {
	deadLetters string
	output      string
	kind        string
	reason      string
	all         bool
	by          string
}

func (p Program) dlq(c *common) *cobra.Command {
	f := &dlqFlags{}
	cmd := &cobra.Command{
		Use: "dlq", Short: "Look at dead letters, store them again, or drop them",
		Long: `dlq works on the stream of dead letters: messages that are no record, or that OpenSearch refuses, with
their bytes, the reason, and when they failed.

A letter is named by a number, its offset on that stream. It is open until it is stored or dropped. What
became of it stands behind it on the same stream, with the time and the name of who did it; nothing is
ever removed. "retry" stores a letter as it is, after the consumer, the index or its mapping was mended.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("no command %q; %s --help lists them", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.deadLetters, "dead-letters", consumer.DefaultDeadLetters, "stream for messages that cannot be stored")
	cmd.AddCommand(p.dlqList(c, f), p.dlqShow(c, f), p.dlqRetry(c, f), p.dlqDrop(c, f))
	return cmd
}

// choose adds the flags that choose letters.
func (f *dlqFlags) choose(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kind, "type", "", "only letters of this type: undecodable, refused or conflict")
	cmd.Flags().StringVar(&f.reason, "reason", "", "only letters with this text in their reason")
}

func (f *dlqFlags) answer(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.by, "by", "", "who you are, kept with what you do; by default the user of this machine")
}

func (f *dlqFlags) format(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table or json")
}

func (p Program) dlqList(c *common, f *dlqFlags) *cobra.Command {
	var count, handled bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the open letters, or say how many there are", Args: noArgs,
		Long: `list prints the open letters: number, when it failed first and last and how often, where it came from,
its type, its size and the reason. With --handled it prints those that were stored or dropped, with when,
by whom and why. --count prints their number only, for a monitoring.`,
		Example: "  auditlog dlq list --type refused\n  auditlog dlq list --count",
		RunE: func(cmd *cobra.Command, _ []string) error {
			box, done, err := f.open(c, false)
			if err != nil {
				return err
			}
			defer done()
			letters, err := box.List(cmd.Context(), deadletter.Filter{Type: f.kind, Reason: f.reason, Handled: handled, All: f.all})
			if err != nil {
				return withHint(err)
			}
			if count {
				return printCount(p.Stdout, f.output, len(letters))
			}
			return printLetters(p.Stdout, f.output, letters)
		},
	}
	f.choose(cmd)
	f.format(cmd)
	cmd.Flags().BoolVar(&count, "count", false, "print how many there are, and nothing else")
	cmd.Flags().BoolVar(&handled, "handled", false, "those that were stored or dropped")
	cmd.Flags().BoolVar(&f.all, "all", false, "open ones and handled ones")
	return cmd
}

func (p Program) dlqShow(c *common, f *dlqFlags) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show NUMBER", Short: "Show one letter: its bytes, and the record in them if there is one", Args: oneNumber,
		Long: `show prints all that is known of a letter, open or handled, the message as it came, and the record that
is read from it. Characters that a terminal would obey are escaped; --raw prints the bytes as they are and nothing else.`,
		Example: "  auditlog dlq show 17\n  auditlog dlq show 17 --raw > letter.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := parseNumbers(args)
			if err != nil {
				return usage(err)
			}
			box, done, err := f.open(c, false)
			if err != nil {
				return err
			}
			defer done()
			letter, message, err := box.Message(cmd.Context(), numbers[0])
			if err != nil {
				return withHint(err)
			}
			if raw {
				_, err := p.Stdout.Write(message.Payload)
				return err
			}
			return printLetter(p.Stdout, f.output, letter, message)
		},
	}
	f.format(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "print the bytes of the message as they came, and nothing else")
	return cmd
}

func (p Program) dlqRetry(c *common, f *dlqFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry [NUMBER]...", Short: "Store letters again", Args: cobra.ArbitraryArgs,
		Long: `retry writes letters to OpenSearch again, each with the stream and offset that it came from, and marks those
that are there as stored. It may be repeated and interrupted: a record is stored once. A letter that is
still refused stays open, with the newer reason.

Choose letters by their numbers, with --all, or with --type and --reason. The exit code is 1 if one of
them is still open.`,
		Example: "  auditlog dlq retry 17 18\n  auditlog dlq retry --reason mapper_parsing_exception",
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.act(cmd.Context(), c, args, p.Stdout, func(ctx context.Context, box *deadletter.Box, letters []deadletter.Letter, by string) error {
				return f.retry(ctx, c, box, letters, by, p.Stdout)
			})
		},
	}
	f.choose(cmd)
	f.answer(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all open letters")
	return cmd
}

func (p Program) dlqDrop(c *common, f *dlqFlags) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "drop [NUMBER]...", Short: "Mark letters as not needed", Args: cobra.ArbitraryArgs,
		Long: `drop marks letters as not needed, so that they are no longer open. Their bytes stay on the stream; who
dropped them, when and why stands behind them, and "dlq list --handled" shows it.

Choose letters by their numbers, with --all, or with --type and --reason.`,
		Example: `  auditlog dlq drop 17 --because "a test of the load balancer, ticket 4711"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usagef("--because is %q, want the reason, which is kept", why)
			}
			return f.act(cmd.Context(), c, args, p.Stdout, func(ctx context.Context, box *deadletter.Box, letters []deadletter.Letter, by string) error {
				if err := box.Drop(ctx, letters, by, why); err != nil {
					return err
				}
				_, err := fmt.Fprintf(p.Stdout, "%d letters were dropped by %s\n", len(letters), by)
				return err
			})
		},
	}
	f.choose(cmd)
	f.answer(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all open letters")
	cmd.Flags().StringVar(&why, "because", "", "why they are not needed; it is kept, and there must be one")
	return cmd
}

// act calls do with the letters that the flags and the arguments choose.
func (f *dlqFlags) act(ctx context.Context, c *common, args []string, out io.Writer, do func(context.Context, *deadletter.Box, []deadletter.Letter, string) error) error {
	numbers, err := parseNumbers(args)
	byText := f.kind != "" || f.reason != ""
	switch {
	case err != nil:
		return usage(err)
	case len(numbers) == 0 && !f.all && !byText:
		return usagef("which letters? give their numbers, --type, --reason, or --all")
	case len(numbers) > 0 && (f.all || byText):
		return usagef("numbers and --all, --type or --reason exclude each other")
	}
	by, err := f.who()
	if err != nil {
		return usage(err)
	}
	box, done, err := f.open(c, true)
	if err != nil {
		return err
	}
	defer done()
	letters, err := box.List(ctx, deadletter.Filter{Numbers: numbers, Type: f.kind, Reason: f.reason})
	if err != nil {
		return withHint(err)
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(out, "no open letter is one of these")
		return err
	}
	return do(ctx, box, letters, by)
}

func (f *dlqFlags) retry(ctx context.Context, c *common, box *deadletter.Box, letters []deadletter.Letter, by string, out io.Writer) error {
	target, err := openSearchConfig(c)
	if err != nil {
		return usage(err)
	}
	to, err := opensearch.New(target)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = to.Close() }()
	report, err := box.Retry(ctx, to, letters, by)
	_, _ = fmt.Fprintf(out, "%d letters: %d stored, %d were stored already; still open: %d undecodable, %d refused, %d conflicts\n",
		len(letters), report.Stored, report.Duplicates, report.Undecodable, report.Refused, report.Conflicts)
	if err != nil {
		return err
	}
	if n := report.Open(); n > 0 {
		return fmt.Errorf("%d of %d letters are still open: auditlog dlq list says why", n, len(letters))
	}
	return nil
}

// open gives the box; done closes what it needs.
func (f *dlqFlags) open(c *common, write bool) (box *deadletter.Box, done func(), err error) {
	_, dead, err1 := deadLetters(c, f.deadLetters)
	var err2, err3 error
	switch f.kind {
	case "", "undecodable", "refused", "conflict":
	default:
		err2 = fmt.Errorf("--type is %q, want undecodable, refused or conflict", f.kind)
	}
	switch f.output {
	case "", "table", "json":
	default:
		err3 = fmt.Errorf("--output is %q, want table or json", f.output)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, usage(err)
	}
	open := func(ctx context.Context, from int64) (deadletter.Source, error) {
		s, err := rabbit.NewSource(ctx, dead, "audit-dlq", stream.SourceOptions{
			StartAt: func(context.Context) (int64, bool, error) { return from, true, nil },
		})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	if !write {
		box, err = deadletter.New(open, nil, deadletter.Config{})
		return box, func() {}, usage(err)
	}
	to, err := rabbit.NewAppender(dead)
	if err != nil {
		return nil, nil, usage(err)
	}
	box, err = deadletter.New(open, to, deadletter.Config{})
	return box, func() { _ = to.Close() }, usage(err)
}

// who gives the name that is kept with what is done.
func (f *dlqFlags) who() (string, error) {
	if name := strings.TrimSpace(f.by); name != "" {
		return name, nil
	}
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "", errors.New("--by is empty, and the user of this machine has no name: say who you are")
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return u.Username + "@" + host, nil
}

func oneNumber(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes the number of one letter, got %s", cmd.CommandPath(), quoted(args))
	}
	return nil
}

func parseNumbers(args []string) ([]int64, error) {
	var numbers []int64
	var errs []error
	for _, arg := range args {
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("the number of a letter is %q, want 0 or more", arg))
			continue
		}
		numbers = append(numbers, n)
	}
	return numbers, errors.Join(errs...)
}

func printCount(out io.Writer, output string, n int) error {
	if output == "json" {
		return json.NewEncoder(out).Encode(map[string]int{"letters": n})
	}
	_, err := fmt.Fprintln(out, n)
	return err
}
