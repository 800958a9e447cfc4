package audit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateDeps = flag.Bool("update-deps", false, "write testdata/modules.txt")

const module = "github.com/gormtrail/audit"

// Prefixes of packages that some of ours must stay free of.
const (
	gin        = "github.com/gin-gonic/gin"
	gormio     = "gorm.io/"
	rabbit     = "github.com/rabbitmq/"
	opensearch = "github.com/opensearch-project/"
	otel       = "go.opentelemetry.io/"
	prometheus = "github.com/prometheus/"
	cobra      = "github.com/spf13/cobra"
	testingPkg = "testing"
)

// drivers are SQL drivers, which only the application chooses.
var drivers = []string{
	"gorm.io/driver/", "github.com/jackc/", "github.com/go-sql-driver/", "github.com/glebarez/", "modernc.org/",
	"github.com/mattn/go-sqlite3", "github.com/lib/pq",
}

// importRule says what must not be in the import closure of a package. What a user does not need
// costs him download and build time, and raises the versions of his other dependencies.
type importRule struct {
	pkg    string // below the module; "" is the root
	reason string
	forbid []string
	// only, if it is not nil, has all prefixes that are allowed beside the standard library and the
	// package itself.
	only []string
}

var importRules = []importRule{
	{
		pkg: "", reason: "capture needs GORM and r3labs/diff, and the default store is written through GORM",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{pkg: "event", reason: "the record is read by programs that have nothing else of ours", only: []string{}},
	{
		pkg: "store", reason: "what is stored says nothing about where",
		only: []string{module + "/event", module + "/internal/", "golang.org/x/text/"},
	},
	{
		pkg: "store/sqlstore", reason: "adds nothing but GORM to the root",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "outbox", reason: "adds nothing but GORM to the root",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "outbox/pgnotify", reason: "the outbox with the driver of PostgreSQL, and no more",
		forbid: []string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg},
	},
	{
		pkg: "sqldriver", reason: "goes below the driver of the application's choice",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "store/opensearch", reason: "a consumer has no web framework and no database; the SDK of AWS comes with awssig",
		forbid: append([]string{gin, gormio, rabbit, otel, cobra, testingPkg, "github.com/aws/"}, drivers...),
	},
	{
		pkg: "store/opensearch/awssig", reason: "the core of AWS's SDK, and no more",
		forbid: append([]string{gin, gormio, rabbit, otel, cobra, testingPkg, "github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/service/"}, drivers...),
	},
	{pkg: "stream", reason: "the contract of both ends", only: []string{}},
	{pkg: "checkpoint", reason: "producers read it, and have nothing of the consumer", only: []string{}},
	{
		pkg: "sqldriver", reason: "wraps any driver, and brings none",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{pkg: "stream/memory", reason: "for tests and demos", only: []string{module}},
	{
		pkg: "stream/rabbit", reason: "a consumer has no web framework and no database",
		forbid: append([]string{gin, gormio, opensearch, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "spool", reason: "runs in every application; it writes files",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{pkg: "checkpoint", reason: "the contract of consumers and producers", only: []string{module + "/event"}},
	{
		pkg: "filelog", reason: "a sink that writes a file",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "accounting", reason: "counts at both ends, whatever they are",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "relay", reason: "knows the stream's contract, not the broker's client",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "consumer", reason: "knows the contracts of stream and store, not their clients",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "telemetry", reason: "the API of OpenTelemetry only: what exports is the application's choice",
		forbid: append([]string{gin, rabbit, opensearch, prometheus, otel + "otel/sdk", otel + "otel/exporters", otel + "proto", "google.golang.org/", cobra, testingPkg}, drivers...),
	},
	{
		pkg: "deadletter", reason: "knows the contracts of stream and store, not their clients",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "replay", reason: "knows the contracts of stream and store, not their clients",
		forbid: append([]string{gin, gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "query", reason: "asks a store by its contract",
		forbid: append([]string{gormio, rabbit, opensearch, otel, cobra, testingPkg, "github.com/coreos/", "github.com/go-jose/"}, drivers...),
	},
	{
		pkg: "query/oidc", reason: "the one part of the query API that needs a library for tokens",
		forbid: append([]string{gormio, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "middleware", reason: "sits in the application's router",
		forbid: append([]string{rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
	{
		pkg: "middleware/nethttp", reason: "for applications without Gin",
		forbid: append([]string{gin, rabbit, opensearch, otel, cobra, testingPkg}, drivers...),
	},
}

// listed is what go list -json says of a package.
type listed struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
}

// closure gives the import closure of the package, without its tests.
func closure(t *testing.T, pkg string) []listed {
	t.Helper()
	out := goList(t, "-deps", "-json=ImportPath,Standard,Module", pkg)
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		switch err := d.Decode(&l); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func goList(t *testing.T, args ...string) []byte {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-mod=readonly"}, args...)...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, said.String())
	}
	return out
}

func TestImportClosure(t *testing.T) {
	t.Parallel()
	packages := strings.Fields(string(goList(t, "./...")))
	for _, rule := range importRules {
		if !slices.Contains(packages, strings.TrimSuffix(module+"/"+rule.pkg, "/")) {
			t.Errorf("there is no package %q, which importRules names", rule.pkg)
			continue
		}
		t.Run("audit/"+rule.pkg, func(t *testing.T) {
			t.Parallel()
			self := strings.TrimSuffix(module+"/"+rule.pkg, "/")
			for _, p := range closure(t, self) {
				has := func(prefix string) bool { return strings.HasPrefix(p.ImportPath+"/", prefix) }
				if slices.ContainsFunc(rule.forbid, has) && (!p.Standard || p.ImportPath == testingPkg) {
					t.Errorf("%s imports %s, directly or not: %s", self, p.ImportPath, rule.reason)
				}
				if rule.only != nil && !p.Standard && p.ImportPath != self && !slices.ContainsFunc(rule.only, has) {
					t.Errorf("%s imports %s, directly or not, and may import only the standard library and %q: %s",
						self, p.ImportPath, rule.only, rule.reason)
				}
			}
		})
	}
}

// TestImportRules_coverPackages keeps a new package from growing up without a rule.
func TestImportRules_coverPackages(t *testing.T) {
	t.Parallel()
	free := []string{"/internal/", "/cmd/", "/examples/", "/deploy", "/query/viewer", "/storetest", "/streamtest", "/queuetest", "/audittest"}
	for _, p := range strings.Fields(string(goList(t, "./..."))) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
		ruled := slices.ContainsFunc(importRules, func(r importRule) bool { return r.pkg == pkg })
		if !ruled && !slices.ContainsFunc(free, func(part string) bool { return strings.Contains(p+"/", part) }) {
			t.Errorf("no import rule for package %s: add one to importRules", p)
		}
	}
}

// TestModules_ofRoot compares the modules that come with the import of the root package with the
// committed list; -update-deps writes it.
func TestModules_ofRoot(t *testing.T) {
	t.Parallel()
	var modules []string
	for _, p := range closure(t, module) {
		if p.Module != nil && p.Module.Path != module {
			modules = append(modules, p.Module.Path)
		}
	}
	slices.Sort(modules)
	modules = slices.Compact(modules)
	file := filepath.Join("testdata", "modules.txt")
	if *updateDeps {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Join(modules, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(want)), modules); diff != "" {
		t.Errorf("modules that come with %s (-want +got):\n%s", module, diff)
	}
}
