package cli

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"go.uber.org/goleak"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/logbuffer"
)

// childVariable makes the test binary the program itself, so that tests can kill one.
const childVariable = "AUDITLOG_TEST_CHILD"

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	if os.Getenv(childVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := Main(ctx, Program{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv})
		stop()
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// result is what a run of the program has given.
type result struct {
	code           int
	stdout, stderr string
}

// program gives a program with these variables, and where its output goes.
func program(variables map[string]string, args ...string) (p Program, stdout, stderr *logbuffer.Buffer) {
	stdout, stderr = &logbuffer.Buffer{}, &logbuffer.Buffer{}
	return Program{
		Args: args, Stdout: stdout, Stderr: stderr,
		LookupEnv: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		Databases: map[string]func(string) gorm.Dialector{
			"sqlite": func(address string) gorm.Dialector {
				return sqlite.Open("file:" + strings.TrimPrefix(address, "sqlite:") + "?mode=rw&_pragma=busy_timeout(5000)")
			},
		},
	}, stdout, stderr
}

func execute(ctx context.Context, variables map[string]string, args ...string) result {
	p, stdout, stderr := program(variables, append([]string{"--env-file="}, args...)...)
	code := Main(ctx, p)
	return result{code, stdout.String(), stderr.String()}
}

func TestMain_wrongUse_namesEveryMistake(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("# who\n\nalone\nshort abc\nacme 0123456789abcdef tenant=acme hide=\nother 0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		variables map[string]string
		args      []string
		want      []string
	}{
		{"unknown command", nil, []string{"consum"}, []string{`no command "consum"`}},
		{"unknown flag", nil, []string{"consume", "--nope"}, []string{"unknown flag: --nope"}},
		{"argument", nil, []string{"consume", "now"}, []string{`auditlog consume takes no argument, got "now"`}},
		{"log", nil, []string{"consume", "--log-format=xml"}, []string{`--log-format is "xml", want text or json`}},
		{"level", nil, []string{"setup", "--log-level=loud"}, []string{`--log-level is "loud"`}},
		{"consume", map[string]string{
			"OPENSEARCH_PORT": "x", "OPENSEARCH_USE_SSL": "ja", "RABBITMQ_STREAM_PORT": "0", "RABBITMQ_STREAM_USER": "u",
		}, []string{"consume", "--group=", "--batch-size=0", "--batch-age=-1s", "--listen=8081", "--max-in-flight=0", "--accept-poison=-1s", "--ready-max-lag=-1", "--dead-letters=audit_logs_stream"}, []string{
			`OPENSEARCH_PORT is "x", want a port`, `OPENSEARCH_USE_SSL is "ja", want true or false`, "RABBITMQ_STREAM_PORT", "Password is empty",
			`--group is ""`, "--batch-size is 0", "--batch-age is -1s", `--listen is "8081"`, "--max-in-flight is 0", "--accept-poison is -1s", "--ready-max-lag is -1", `--dead-letters is "audit_logs_stream", which is the stream itself`,
		}},
		{"setup", map[string]string{"OPENSEARCH_INDEX_PREFIX": "Audit"}, []string{"setup", "--max-age=1ms", "--max-bytes=-1", "--segment-bytes=9999999999"}, []string{
			`OPENSEARCH_INDEX_PREFIX is "Audit": want lower case`, "--max-age is 1ms", "--max-bytes is -1", "--segment-bytes is 9999999999",
		}},
		{"serve", map[string]string{"AUDIT_TIMEZONE": "Mars/Base", "AUDIT_API_SECRET": "short", "OPENSEARCH_HOST": "http://x"}, []string{"serve", "--listen=8000"}, []string{
			`AUDIT_TIMEZONE is "Mars/Base"`, "AUDIT_API_SECRET has 5 bytes", `OPENSEARCH_HOST is "http://x"`, `--listen is "8000"`, "AUDIT_API_TOKENS=name=token",
		}},
		{"serve tokens", map[string]string{"AUDIT_API_TOKENS": "me, you=yours"}, []string{"serve", "--token-file", tokens}, []string{
			"AUDIT_API_TOKENS, entry 1", "tokens, line 3", `"tenant" is no field to restrict by`, `"hide=" is no restriction`, `the token of "other"`,
		}},
		{"serve hash", map[string]string{"AUDIT_API_TOKENS": "me=sha256:abc"}, []string{"serve"}, []string{`the hash of "me" is none`}},
		{"serve oidc", nil, []string{"serve", "--oidc-issuer=http://id.example.com", "--oidc-filter=tenant=t", "--oidc-role=x"}, []string{
			`Config.Issuer is "http://id.example.com"`, "Config.Audience is empty", `--oidc-filter is "tenant=t"`, `--oidc-role is "x"`,
		}},
		{"serve oidc alone", map[string]string{"AUDIT_API_TOKENS": "me=0123456789abcdef"}, []string{"serve", "--oidc-audience=x"}, []string{"need --oidc-issuer"}},
		{"relay", map[string]string{"RABBITMQ_STREAM_PORT": "x"}, []string{"relay", "--interval=0s"}, []string{"RABBITMQ_STREAM_PORT", "--interval is 0s", "set --spool or AUDIT_SPOOL_DIR"}},
		{"relay folder", nil, []string{"relay", "--spool", tokens}, []string{"which is no folder"}},
		{"relay missing", map[string]string{"AUDIT_SPOOL_DIR": tokens + ".none"}, []string{"relay"}, []string{".none: no such file"}},
		{"serve short token", map[string]string{"AUDIT_API_TOKENS": "me=abc"}, []string{"serve"}, []string{`the token of "me" has 3 bytes, want 16`}},
		{"serve database", map[string]string{"AUDIT_API_TOKENS": "me=0123456789abcdef", "AUDIT_DATABASE": "oracle:x"}, []string{"serve"}, []string{`begins with "oracle", want one of sqlite`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := execute(t.Context(), c.variables, c.args...)
			if got.code != ExitUsage || got.stdout != "" {
				t.Errorf("code %d, stdout %q", got.code, got.stdout)
			}
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("no %s in\n%s", want, got.stderr)
				}
			}
			for _, secret := range []string{"0123456789abcdef", "=abc"} {
				if strings.Contains(got.stderr, secret) {
					t.Errorf("%q is in\n%s", secret, got.stderr)
				}
			}
		})
	}
}

func TestMain_help_namesVariablesAndCodes(t *testing.T) {
	t.Parallel()
	got := execute(t.Context(), nil, "--help")
	if got.code != ExitOK {
		t.Errorf("code %d", got.code)
	}
	for _, want := range []string{"OPENSEARCH_HOST", "RABBITMQ_STREAM_NAME", "AUDIT_TIMEZONE", "Exit codes", "consume", "setup", "serve", "relay", "version"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %s in\n%s", want, got.stdout)
		}
	}
	for _, command := range []string{"consume", "setup", "serve", "relay"} {
		got := execute(t.Context(), nil, command, "--help")
		if got.code != ExitOK || !strings.Contains(got.stdout, "Examples:") || !strings.Contains(got.stdout, "Flags:") {
			t.Errorf("%s --help: %+v", command, got)
		}
	}
	if got := execute(t.Context(), nil, "version"); got.code != ExitOK || !strings.HasPrefix(got.stdout, "auditlog ") {
		t.Errorf("version: %+v", got)
	}
}

// TestMain_help_namesEveryVariable: what the sources of the program read is in its help.
func TestMain_help_namesEveryVariable(t *testing.T) {
	t.Parallel()
	help := execute(t.Context(), nil, "--help").stdout
	names := make(map[string]bool)
	for _, folder := range []string{".", "../../stream/rabbit", "../../store/opensearch"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range regexp.MustCompile(`"((?:RABBITMQ|OPENSEARCH|AUDIT)_[A-Z_]+)"`).FindAllSubmatch(source, -1) {
				names[string(found[1])] = true
			}
		}
	}
	if len(names) < 25 {
		t.Errorf("found only %v", names)
	}
	for name := range names {
		if !regexp.MustCompile(name + `\b`).MatchString(help) {
			t.Errorf("%s is not in\n%s", name, help)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	if err := os.WriteFile(file, []byte("A=file # not this\nB='two words'\nexport C=c\nEMPTY=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv, err := environment(func(name string) (string, bool) {
		v, ok := map[string]string{"B": "real", "EMPTY": ""}[name]
		return v, ok
	}, file, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"A": "file", "B": "real", "C": "c", "EMPTY": "", "NONE": ""} {
		if got := getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	missing := filepath.Join(dir, "none")
	if _, err := environment(os.LookupEnv, missing, false); err != nil {
		t.Errorf("missing: %v", err)
	}
	if _, err := environment(os.LookupEnv, missing, true); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing, but asked for: %v", err)
	}
	if _, err := environment(os.LookupEnv, dir, false); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(file, []byte("PASSWORD=\"geheim\nno line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := environment(os.LookupEnv, file, false); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), file) {
		t.Errorf("bad file: %v", err)
	}
}
