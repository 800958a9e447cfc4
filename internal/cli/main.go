package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"gorm.io/gorm"
)

// Program is the program with what it has from the outside.
type Program struct {
	// Args are the arguments, without the name of the program.
	Args []string
	// Stdout takes what a command says it did, Stderr its log and its errors.
	Stdout, Stderr io.Writer
	// LookupEnv reads the environment, as os.LookupEnv does.
	LookupEnv func(name string) (string, bool)
	// Databases open the databases that serve can read, and relay can empty, by the scheme of their address.
	Databases map[string]func(dsn string) gorm.Dialector
	// Listen listens to what PostgreSQL notifies on a channel; nil: it cannot.
	Listen func(address, channel string, log *slog.Logger) (Listener, error)
}

const longHelp = `auditlog carries audit records from RabbitMQ Streams into OpenSearch, and serves them.

It is configured by environment variables, which it also reads from the file .env in the current
folder; a variable that is set wins over the file.

  OPENSEARCH_HOST          one host, or several with commas (localhost)
  OPENSEARCH_PORT          (9200)
  OPENSEARCH_USERNAME      both or none
  OPENSEARCH_PASSWORD
  OPENSEARCH_USE_SSL       true or false (false)
  OPENSEARCH_VERIFY_CERTS  true or false (true)
  OPENSEARCH_CA_FILE       certificate authorities to trust, in PEM (those of the system)
  OPENSEARCH_INDEX_PREFIX  (audit-logs)
  OPENSEARCH_COMPRESS      true or false (false): send with gzip
  OPENSEARCH_AWS_REGION    sign requests for AWS, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
                           AWS_SESSION_TOKEN instead of user and password
  OPENSEARCH_AWS_SERVICE   es, or aoss for a serverless collection (es)

  RABBITMQ_STREAM_HOST     one host, or several with commas (localhost)
  RABBITMQ_STREAM_PORT     the port of the stream plugin, not of AMQP (5552)
  RABBITMQ_STREAM_USER     (guest)
  RABBITMQ_STREAM_PASSWORD (guest)
  RABBITMQ_STREAM_VHOST    (/)
  RABBITMQ_STREAM_NAME     (audit_logs_stream)
  RABBITMQ_STREAM_PARTITIONS  how many partitions a super stream of this name has (0, it is a stream)
  RABBITMQ_STREAM_TLS      true or false (false); with it, all in PEM, RABBITMQ_STREAM_CA_FILE,
                           RABBITMQ_STREAM_CERT_FILE and RABBITMQ_STREAM_KEY_FILE, and
                           RABBITMQ_STREAM_SERVER_NAME
  RABBITMQ_STREAM_FIXED_ADDRESS  true: never go to the address that the server advertises (false)

  AUDIT_API_TOKENS, AUDIT_API_SECRET, AUDIT_DATABASE   see auditlog serve --help
  AUDIT_SPOOL_DIR, AUDIT_OUTBOX_DSN, AUDIT_OUTBOX_TABLE   see auditlog relay --help
  OTEL_EXPORTER_OTLP_ENDPOINT   where the spans of consume and relay go, such as http://localhost:4318 (nowhere);
                           with it OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
                           and OTEL_SERVICE_NAME
  AUDIT_TIMEZONE           the zone of from_date and to_date, such as Asia/Ho_Chi_Minh (UTC)

Exit codes: 0 done, or stopped by SIGINT or SIGTERM; 1 something could not be done; 2 a flag, an
argument or a variable is wrong: all of them are named.`

// Main runs the program and gives its exit code. ctx ends its services.
func Main(ctx context.Context, p Program) int {
	root := p.root() //nolint:contextcheck // the commands take the context that cobra gives them
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		for _, line := range linesOf(err) {
			_, _ = fmt.Fprintln(p.Stderr, "auditlog: "+line)
		}
	}
	return exitCode(err)
}

// common are the flags of all commands.
type common struct {
	envFile   string
	logFormat string
	logLevel  string
	getenv    func(string) string
	log       *slog.Logger
}

func (p Program) root() *cobra.Command {
	c := &common{}
	root := &cobra.Command{
		Use: "auditlog", Short: "Carry audit records from RabbitMQ Streams into OpenSearch, and serve them", Long: longHelp,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("no command %q; auditlog --help lists them", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return c.start(p, cmd.Flags().Changed("env-file"))
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.envFile, "env-file", ".env", "file with environment variables, read if it is there; the environment wins")
	flags.StringVar(&c.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(p.consume(c), p.setup(c), p.serve(c), p.token(c), p.relay(c), p.tail(c), p.dlq(c), p.replay(c), p.version())
	return root
}

// start reads what is common to all commands.
func (c *common) start(p Program, namedFile bool) error {
	getenv, err := environment(p.LookupEnv, c.envFile, namedFile)
	if err != nil {
		return usage(err)
	}
	c.getenv = getenv
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		return usagef("--log-level is %q, want debug, info, warn or error", c.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.logFormat {
	case "text":
		c.log = slog.New(slog.NewTextHandler(p.Stderr, options))
	case "json":
		c.log = slog.New(slog.NewJSONHandler(p.Stderr, options))
	default:
		return usagef("--log-format is %q, want text or json", c.logFormat)
	}
	return nil
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, got %s", cmd.CommandPath(), quoted(args))
	}
	return nil
}

func quoted(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(parts, " ")
}
