// Package deploy_test keeps what is in this folder true: nothing here is compiled.
package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joho/godotenv"
	"gopkg.in/yaml.v3"

	"github.com/gormtrail/audit/internal/cli"
)

// run runs auditlog with arguments and gives its exit code and output.
func run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := cli.Main(t.Context(), cli.Program{
		Args: args, Stdout: &out, Stderr: &out, LookupEnv: func(string) (string, bool) { return "", false },
	})
	return code, out.String()
}

// checkArgs says whether auditlog knows the command and its flags. Help is asked for, so nothing is run.
func checkArgs(t *testing.T, where string, args []string) {
	t.Helper()
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		t.Errorf("%s: %q names no command", where, args)
		return
	}
	code, out := run(t, append(slices.Clone(args), "--help")...)
	if code != 0 || !strings.Contains(out, "auditlog "+args[0]) {
		t.Errorf("%s: auditlog %s: exit code %d:\n%s", where, strings.Join(args, " "), code, out)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/auditlog (.*)$`)

// TestUnits: each service runs a command that exists, and is closed up; systemd itself is asked where it is.
func TestUnits(t *testing.T) {
	t.Parallel()
	const inPath = "systemd-analyze"
	analyze, err := exec.LookPath(inPath)
	if err != nil {
		t.Logf("%s is not here: the units are not checked by systemd itself", inPath)
	}
	for _, file := range glob(t, "systemd/*.service") {
		text := read(t, file)
		m := execStart.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%s: no ExecStart of auditlog", file)
			continue
		}
		checkArgs(t, file, strings.Fields(m[1]))
		for _, line := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=always", "StartLimitIntervalSec=0", "CapabilityBoundingSet="} {
			if !slices.Contains(strings.Split(text, "\n"), line) {
				t.Errorf("%s: no line %s", file, line)
			}
		}
		if analyze == "" {
			continue
		}
		// The program is not installed here.
		there := filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(there, []byte(strings.ReplaceAll(text, "/usr/local/bin/auditlog", "/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), analyze, "verify", there).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: systemd-analyze verify: %v\n%s", file, err, out)
		}
		if out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=20", there).CombinedOutput(); err != nil {
			t.Errorf("%s: it is more exposed than 2.0: %v\n%s", file, err, out)
		}
	}
}

// documents gives the documents of a YAML file.
func documents(t *testing.T, file string) (out []map[string]any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(read(t, file)))
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, doc)
	}
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, e := range list {
		s, _ := e.(string)
		out = append(out, s)
	}
	return out
}

// walk calls f for each mapping in v.
func walk(v any, f func(m map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, e := range v {
			walk(e, f)
		}
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	}
}

// TestContainers: what runs our image, in Kubernetes or with compose, runs a command that exists, as nobody
// in particular and with nothing that it can write to.
func TestContainers(t *testing.T) {
	t.Parallel()
	found := 0
	for _, file := range slices.Concat(glob(t, "kubernetes/*.yaml"), glob(t, "compose.yaml")) {
		for _, doc := range documents(t, file) {
			walk(doc, func(m map[string]any) {
				args := texts(m["args"])
				if args == nil {
					args = texts(m["command"])
				}
				if m["image"] != "auditlog" || args == nil {
					return
				}
				found++
				checkArgs(t, file, args)
				if m["read_only"] == true && slices.Equal(texts(m["cap_drop"]), []string{"ALL"}) {
					return
				}
				security, _ := m["securityContext"].(map[string]any)
				if security["readOnlyRootFilesystem"] != true || security["allowPrivilegeEscalation"] != false {
					t.Errorf("%s: %s: the container may write or gain privileges: %v", file, args[0], security)
				}
			})
		}
	}
	if found != 7 {
		t.Errorf("%d containers of ours were found, want 7", found)
	}
}

var variable = regexp.MustCompile(`\b(?:OPENSEARCH|RABBITMQ_STREAM|AUDIT)_[A-Z_]+\b`)

// TestEnvironment: the example has the variables that the program knows, and no others, and can be read.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	const file = ".env.example"
	active, err := godotenv.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if active["AUDIT_API_SECRET"] == "" {
		t.Error("the file was not read as variables")
	}
	example := map[string]bool{}
	for line := range strings.Lines(read(t, file)) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), "="); ok && variable.MatchString(name) {
			example[name] = true
		}
	}
	known := map[string]bool{}
	for _, command := range []string{"", "consume", "relay", "serve", "setup", "tail"} {
		args := []string{"--help"}
		if command != "" {
			args = []string{command, "--help"}
		}
		code, out := run(t, args...)
		if code != 0 {
			t.Fatalf("auditlog %s: %s", args, out)
		}
		prefix := ""
		for _, part := range strings.Fields(out) {
			part = strings.Trim(part, "(),.;:")
			switch {
			case strings.HasPrefix(part, "RABBITMQ_STREAM_"), strings.HasPrefix(part, "OPENSEARCH_"), strings.HasPrefix(part, "AUDIT_"):
				if name := variable.FindString(part); name != "" {
					known[name] = true
				}
				prefix = "RABBITMQ_STREAM"
			case strings.HasPrefix(part, "_") && prefix != "" && part != "_watermarks": // "…_CA_FILE, _CERT_FILE"
				known[prefix+part] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !example[name] {
			t.Errorf("%s lacks %s", file, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(example)) {
		if !known[name] {
			t.Errorf("%s has %s, which no help text of auditlog names", file, name)
		}
	}
}

// TestDockerfile: it builds the command that exists, from files that the context has.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, "Dockerfile")
	for _, want := range []string{"./cmd/auditlog", "CGO_ENABLED=0", "distroless", "USER nonroot"} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
	ignore := read(t, "../.dockerignore")
	for _, line := range strings.Fields(ignore) {
		name := strings.TrimPrefix(line, "!")
		if name == line || strings.Contains(name, "*") {
			continue
		}
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Errorf(".dockerignore keeps %s: %v", name, err)
		}
	}
	// What the command imports is in the context.
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "../cmd/auditlog").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(p, "github.com/gormtrail/audit"), "/"), "/")
		if top != "" && !slices.Contains(strings.Fields(ignore), "!"+top) {
			t.Errorf(".dockerignore leaves out %s, which the command imports", top)
		}
	}
}
