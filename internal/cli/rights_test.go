package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// rights are what an account may do: patterns of names.
type rights struct{ configure, write, read string }

const none = "^$"

// shipped gives the rights of an account in deploy/rabbitmq/permissions.sh, for the streams of the rig.
func (r *rig) shipped(t *testing.T, account string) rights {
	t.Helper()
	script, err := os.ReadFile("../../deploy/rabbitmq/permissions.sh")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^may ` + account + ` '(.*)' '(.*)' '(.*)'$`).FindSubmatch(script)
	if found == nil {
		t.Fatalf("no account %s in\n%s", account, script)
	}
	// The names of the test's streams instead of the default ones, which stand in the patterns in two ways.
	names := strings.NewReplacer(
		"audit_logs_(stream(-[0-9]+|_watermarks)?|dlq)", "("+r.source.Stream+"(-[0-9]+|_watermarks)?|"+r.dead.Stream+")",
		"audit_logs_(dlq|stream_watermarks)", "("+r.dead.Stream+"|"+r.source.Stream+"_watermarks)",
		"audit_logs_(stream(-[0-9]+)?|dlq)", "("+r.source.Stream+"(-[0-9]+)?|"+r.dead.Stream+")",
		"audit_logs_stream", r.source.Stream, "audit_logs_dlq", r.dead.Stream)
	return rights{names.Replace(string(found[1])), names.Replace(string(found[2])), names.Replace(string(found[3]))}
}

// account makes an account with the rights, and gives the variables and the stream with it.
func (r *rig) account(t *testing.T, may rights) (map[string]string, rabbit.Config) {
	t.Helper()
	name := testservers.Name(t, "t_audit_account_")
	rabbittest.Manage(t, http.MethodPut, "/api/users/"+name, `{"password":"`+name+`","tags":""}`)
	t.Cleanup(func() { rabbittest.Manage(t, http.MethodDelete, "/api/users/"+name, "") })
	rabbittest.Manage(t, http.MethodPut, "/api/permissions/%2F/"+name,
		fmt.Sprintf(`{"configure":%q,"write":%q,"read":%q}`, may.configure, may.write, may.read))
	variables := r.with("RABBITMQ_STREAM_USER", name)
	variables["RABBITMQ_STREAM_PASSWORD"] = name
	source := r.source
	source.User, source.Password = name, name
	return variables, source
}

// without gives the rights with one of them taken away; ok is false if there is nothing to take.
func (may rights) without(right string) (less rights, ok bool) {
	field := map[string]*string{"configure": &may.configure, "write": &may.write, "read": &may.read}[right]
	ok = *field != none
	*field = none
	return may, ok
}

// TestRights_ofRabbitMQ_areEnoughAndNeeded: with the rights of deploy/rabbitmq each part does its work; with one
// of them less it says what is missing.
func TestRights_ofRabbitMQ_areEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	// What an account does gives nil or what refuses it.
	for account, does := range map[string]func(*testing.T, *rig, map[string]string, rabbit.Config) error{
		"audit-setup": func(t *testing.T, r *rig, variables map[string]string, _ rabbit.Config) error {
			t.Helper()
			for partitions := range 2 {
				streams := []rabbit.Config{r.source, r.dead, rabbit.WatermarksOf(r.source)}
				if partitions > 0 {
					streams = streams[:2]
					streams[0].Partitions = 2
					variables[rabbit.EnvPartitions] = "2"
				}
				got := execute(t.Context(), variables, "setup", "--dead-letters", r.dead.Stream)
				for _, s := range streams {
					if err := rabbit.Delete(t.Context(), s); err != nil && !errors.Is(err, stream.ErrNotExist) {
						t.Error(err)
					}
				}
				if got.code != ExitOK {
					return errors.New(got.stderr)
				}
			}
			return nil
		},
		"audit-producer": func(t *testing.T, r *rig, _ map[string]string, source rabbit.Config) error {
			t.Helper()
			r.declare(t)
			return send(t.Context(), source)
		},
		"audit-consumer": func(t *testing.T, r *rig, variables map[string]string, _ rabbit.Config) error {
			t.Helper()
			r.declare(t)
			r.publish(t, 3, []byte("garbage"))
			cmd, stderr := child(t, variables, "consume", "--dead-letters", r.dead.Stream)
			defer kill(t, cmd)
			var refused error
			await.Until(t, "all is where it belongs, or is refused", func() bool {
				if strings.Contains(stderr.String(), "has no permission to") {
					refused = errors.New(stderr.String())
					return true
				}
				return len(r.found(t)) == 3 && r.dlq(t, "list", "--count").stdout == "1\n"
			})
			return refused
		},
		"audit-operator": func(t *testing.T, r *rig, variables map[string]string, _ rabbit.Config) error {
			t.Helper()
			r.declare(t)
			r.publish(t, 3)
			r.bury(t, 20, 22, "for a test")
			for _, args := range [][]string{{"dlq", "retry", "--all", "--by", "jane", "--dead-letters", r.dead.Stream}, {"replay"}} {
				if got := execute(t.Context(), variables, args...); got.code != ExitOK {
					return errors.New(got.stderr)
				}
			}
			if n := len(r.found(t)); n != 6 {
				return fmt.Errorf("%d records", n)
			}
			return nil
		},
	} {
		t.Run(account, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			variables, source := r.account(t, r.shipped(t, account))
			if err := does(t, r, variables, source); err != nil {
				t.Errorf("as shipped: %v", err)
			}
			for _, right := range []string{"configure", "write", "read"} {
				r := newRig(t)
				less, ok := r.shipped(t, account).without(right)
				if !ok {
					continue
				}
				variables, source := r.account(t, less)
				if err := does(t, r, variables, source); err == nil || !strings.Contains(err.Error(), "permission to") {
					t.Errorf("without the right to %s: %v, want an error that says which permission is missing", right, err)
				}
			}
		})
	}
}

// declare makes the streams of the rig as somebody who may.
func (r *rig) declare(t *testing.T) {
	t.Helper()
	for _, c := range []rabbit.Config{r.source, r.dead, rabbit.WatermarksOf(r.source)} {
		rabbittest.Declare(t, c, rabbit.Limits{})
	}
}

// send publishes a record and asks how far it has come, as an application does.
func send(ctx context.Context, config rabbit.Config) error {
	p, err := rabbit.NewPublisher(ctx, config, "producer")
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Publish(ctx, []stream.Message{{Seq: 1, Payload: []byte("{}")}}); err != nil {
		return err
	}
	select {
	case <-p.Confirmed():
	case <-ctx.Done():
		return ctx.Err()
	}
	if seq, err := p.LastSeq(ctx); err != nil || seq != 1 {
		return fmt.Errorf("sequence %d: %w", seq, err)
	}
	marks, err := rabbit.NewWatermarks(config, "group")
	if err != nil {
		return err
	}
	defer marks.Close()
	_, _, err = marks.Progress(ctx, "producer")
	return err
}
