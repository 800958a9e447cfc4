package testservers

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// EnvPrograms names the folder of scripts/services.sh whose unpacked programs Own uses. Without it, it
// is the project's own folder, into which they are installed if they are missing.
const EnvPrograms = "SERVICES_PROGRAMS"

// Server is a server, or a cluster, of one test's own, which it may kill, freeze, fill and stop. Make
// one with Own.
type Server struct {
	t        testing.TB
	folder   string
	port     int
	programs string
	env      map[string]string
}

// Own starts servers of the test's own, by their names in scripts/services.sh, in a new folder on free
// ports. They end with the test. A start takes some seconds: tests of one package share one, and run
// one after another on it.
func Own(t testing.TB, names ...string) *Server {
	t.Helper()
	for _, name := range names {
		if counted := map[string]string{"rabbitmq": "RabbitMQ", "postgres": "PostgreSQL", "mariadb": "MariaDB"}[name]; counted != "" {
			t.Attr("server", counted)
		}
	}
	folder, err := os.MkdirTemp("", "audit-own-") //nolint:usetesting // of t.TempDir the folder above is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, folder: folder, programs: os.Getenv(EnvPrograms)}
	t.Cleanup(func() {
		if out, err := s.script("stop"); err != nil {
			t.Errorf("stop the test's own servers: %v\n%s", err, out)
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // servers may run as another user
		t.Fatal(err)
	}
	if s.programs == "" {
		s.programs = filepath.Join(root(), ".services")
		install := append([]string{"install"}, names...)
		if out, err := s.run(nil, filepath.Join(root(), "scripts", "services.sh"), install...); err != nil {
			t.Fatalf("install %v: %v\n%s", names, err, out)
		}
	}
	// Another test may take the same ports at the same moment.
	var said []byte
	for range 5 {
		s.port = 20_000 + 50*rand.IntN(230) //nolint:gosec // a port, no secret
		if said, err = s.script(append([]string{"start"}, names...)...); err == nil || !bytes.Contains(said, []byte("in use by a process")) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start %v: %v\n%s", names, err, said)
	}
	s.readEnv()
	return s
}

// readEnv reads what services.sh says about addresses.
func (s *Server) readEnv() {
	s.t.Helper()
	out, err := s.script("env")
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	s.env = make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		s.env[name] = strings.Trim(value, "'")
	}
}

// Env gives the value of a variable of services.sh env, such as RABBITMQ_STREAM_URI.
func (s *Server) Env(name string) string { return s.env[name] }

// Port gives the first port of the servers, see scripts/services.sh.
func (s *Server) Port() int { return s.port }

// Kill ends the server as kill -9 does.
func (s *Server) Kill(name string) { s.must("kill9", name) }

// Start starts the servers again and waits until they answer.
func (s *Server) Start(names ...string) { s.must(append([]string{"start"}, names...)...) }

// TryStart is Start for a machine that may be too busy: a server that does not answer in time is an error of
// the call, and not of the test.
func (s *Server) TryStart(names ...string) error {
	out, err := s.script(append([]string{"start"}, names...)...)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// Stop stops the server as an operator does.
func (s *Server) Stop(name string) { s.must("stop", name) }

// Pause freezes the server with SIGSTOP, Resume lets it go on.
func (s *Server) Pause(name string) { s.must("pause", name) }

// Resume ends Pause.
func (s *Server) Resume(name string) { s.must("resume", name) }

// Run runs a program of the server, such as rabbitmqctl, and gives what it printed.
func (s *Server) Run(name string, command ...string) string {
	return s.must(append([]string{"run", name}, command...)...)
}

func (s *Server) must(args ...string) string {
	s.t.Helper()
	out, err := s.script(args...)
	if err != nil {
		s.t.Fatalf("services.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *Server) script(args ...string) ([]byte, error) {
	// A busy machine needs minutes for what takes seconds.
	env := []string{"DIR=" + s.folder, EnvPrograms + "=" + s.programs, "SERVICES_FSYNC=off", "SERVICES_WAIT=480"}
	if s.port > 0 {
		env = append(env, "SERVICES_PORT="+strconv.Itoa(s.port))
	}
	return s.run(env, filepath.Join(root(), "scripts", "services.sh"), args...)
}

func (s *Server) run(env []string, program string, args ...string) ([]byte, error) {
	// The test's own context has ended when cleanups run.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 20*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...) //nolint:gosec // the project's own script
	for _, setting := range os.Environ() {                // those of the shared servers stay out
		if !strings.HasPrefix(setting, "SERVICES_") && !strings.HasPrefix(setting, "DIR=") {
			command.Env = append(command.Env, setting)
		}
	}
	command.Env = append(command.Env, env...)
	command.WaitDelay = time.Second // servers inherit the output
	out, err := command.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", filepath.Base(program), strings.Join(args, " "), err)
	}
	return out, nil
}

// root gives the folder of the project.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
