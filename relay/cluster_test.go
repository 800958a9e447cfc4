//go:build long

package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestCluster_leaderKilled runs with the full counts only: three nodes take their time. The stream has a
// replica on each; the node of its leader is killed during traffic, and comes back.
func TestCluster_leaderKilled(t *testing.T) {
	t.Parallel()
	var hosts []string
	nodes := []string{"rabbitmq", "rabbitmq2", "rabbitmq3"}
	cluster := testservers.Own(t, nodes...)
	config, err := rabbit.ConfigFromURI(cluster.Env("RABBITMQ_STREAM_URI"))
	if err != nil {
		t.Fatal(err)
	}
	config.Stream = testservers.Name(t, "t_audit_")
	rabbittest.Declare(t, config, rabbit.Limits{})
	leader := func(ask string) (node string) {
		t.Helper()
		for line := range strings.Lines(cluster.Run(ask, "rabbitmqctl", "-q", "list_queues", "name", "leader", "members", "--no-table-headers")) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == config.Stream {
				if strings.Count(line, "@") < 4 {
					t.Fatalf("the stream has not three replicas: %s", line)
				}
				return strings.TrimSuffix(strings.TrimPrefix(fields[1], "node"), "@localhost")
			}
		}
		t.Fatalf("no stream %s", config.Stream)
		return ""
	}
	name := map[string]string{"1": nodes[0], "2": nodes[1], "3": nodes[2]}
	for _, node := range nodes { // see ownStreams
		cluster.Run(node, "rabbitmqctl", "-q", "eval", "mnesia:sync_log().")
	}
	for node := range 3 {
		hosts = append(hosts, fmt.Sprintf("localhost:%d", cluster.Port()+10*(node+1)))
	}
	config.Host = strings.Join(hosts, ",")
	d := deliver(t, config, config, fast())
	const kills = 4
	for range kills {
		d.during(100_000/kills, func() {
			d.moving()
			alive := nodes[0]
			dead := name[leader(alive)]
			cluster.Kill(dead)
			d.moving()
			d.moving()
			cluster.Start(dead)
			await.Until(t, "a leader", func() bool { return leader(alive) != "" })
		})
	}
	d.verify()
}
