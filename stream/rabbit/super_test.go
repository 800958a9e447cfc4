package rabbit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/stream/streamtest"
)

// superStream declares a super stream.
func superStream(t *testing.T, partitions int) rabbit.Config {
	t.Helper()
	config := rabbittest.Config(t)
	config.Partitions = partitions
	rabbittest.Declare(t, config, rabbit.Limits{})
	return config
}

// partition gives the configuration of one partition.
func partition(t *testing.T, config rabbit.Config, i int) rabbit.Config {
	t.Helper()
	names, err := rabbit.Partitions(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	config.Stream, config.Partitions = names[i], 0
	return config
}

// TestSuperStream_conformance runs the suite against a super stream of one partition, whose order is
// that of a stream.
func TestSuperStream_conformance(t *testing.T) {
	t.Parallel()
	testservers.RabbitMQ(t)
	streamtest.Run(t, func(t *testing.T) streamtest.Backend {
		config := superStream(t, 1)
		only := partition(t, config, 0)
		return streamtest.Backend{
			Publisher: rabbit.Dialer(config),
			Source: func(ctx context.Context, group string, o stream.SourceOptions) (stream.Source, error) {
				s, err := rabbit.NewSource(ctx, only, group, o)
				if err != nil {
					return nil, err
				}
				return s, nil
			},
			TooLarge: 1 << 20,
		}
	})
}

func TestSuperStream_keepsTheOrderOfAnObject(t *testing.T) {
	t.Parallel()
	const partitions, objects, n = 3, 50, 3000
	config := superStream(t, partitions)
	message := func(seq uint64) stream.Message {
		payload := fmt.Sprintf(`{"log_id":"%d","object_type":"customer","object_id":"%d"}`, seq, seq*seq%objects)
		return stream.Message{ID: fmt.Sprint(seq), Seq: seq, Payload: []byte(payload)}
	}
	publish := func(from, to uint64) {
		t.Helper()
		p, err := rabbit.NewSuperPublisher(t.Context(), config, "name")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var batch []stream.Message
		for seq := from; seq <= to; seq++ {
			batch = append(batch, message(seq))
		}
		if err := p.Publish(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for last := uint64(0); last < to; last = <-p.Confirmed() {
		}
		if last, err := p.LastSeq(t.Context()); err != nil || last != to {
			t.Errorf("the partitions know up to %d (%v), want %d", last, err, to)
		}
	}
	publish(1, n/2)
	publish(n/4, n) // in doubt, again: each partition drops what it has
	seen, used := 0, 0
	placeOf := make(map[string]int)
	for i := range partitions {
		last := make(map[string]uint64)
		count := 0
		for _, m := range readAll(t, partition(t, config, i)) {
			var seq uint64
			if _, err := fmt.Sscan(m.ID, &seq); err != nil {
				t.Fatal(err)
			}
			object := fmt.Sprint(seq * seq % objects)
			if place, ok := placeOf[object]; ok && place != i {
				t.Fatalf("object %s is in the partitions %d and %d", object, place, i)
			}
			placeOf[object] = i
			if seq <= last[object] {
				t.Fatalf("object %s: %d after %d", object, seq, last[object])
			}
			last[object] = seq
			count++
		}
		seen += count
		if count > 0 {
			used++
		}
	}
	if seen != n || used != partitions {
		t.Errorf("%d messages in %d partitions, want %d in %d", seen, used, n, partitions)
	}
}

// readAll reads what is in the stream.
func readAll(t *testing.T, config rabbit.Config) []stream.Message {
	t.Helper()
	a, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Append(t.Context(), stream.Message{ID: "end"}); err != nil {
		t.Fatal(err)
	}
	s, err := rabbit.NewSource(t.Context(), config, "check", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []stream.Message
	for {
		messages, err := s.Read(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, messages...)
		if all[len(all)-1].ID == "end" {
			return all[:len(all)-1]
		}
	}
}

func TestSuperStream_wrongUse(t *testing.T) {
	t.Parallel()
	config := superStream(t, 2)
	other := config
	other.Partitions = 3
	if err := rabbit.Declare(t.Context(), other, rabbit.Limits{}); !errors.Is(err, rabbit.ErrPartitions) || !strings.Contains(err.Error(), "has 2, Config.Partitions is 3") {
		t.Errorf("declared with 3 partitions: %v, want rabbit.ErrPartitions", err)
	}
	if _, err := rabbit.NewSuperPublisher(t.Context(), other, "name"); !errors.Is(err, rabbit.ErrPartitions) {
		t.Errorf("publisher for 3 partitions: %v, want rabbit.ErrPartitions", err)
	}
	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); err != nil {
		t.Errorf("declared again: %v", err)
	}
	missing := rabbittest.Config(t)
	missing.Partitions = 2
	if err := rabbit.Exists(t.Context(), missing); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("missing: %v, want stream.ErrNotExist", err)
	}
	if err := rabbit.Exists(t.Context(), config); err != nil {
		t.Errorf("there: %v", err)
	}
	if _, err := rabbit.NewPublisher(t.Context(), config, "name"); err == nil {
		t.Error("a plain publisher for a super stream: no error")
	}
	if _, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{}); err == nil {
		t.Error("one source for a super stream: no error")
	}
	plain := config
	plain.Partitions = 0
	if _, err := rabbit.NewSuperPublisher(t.Context(), plain, "name"); err == nil {
		t.Error("a super publisher without Config.Partitions: no error")
	}
}

// TestDeclaredByOthers: an account that may only write and read uses streams that an administrator has
// made.
func TestDeclaredByOthers(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]rabbit.Config{"stream": rabbittest.Stream(t), "super stream": superStream(t, 2)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user := testservers.Name(t, "t_audit_user_")
			rabbittest.Manage(t, http.MethodPut, "/api/users/"+user, `{"password":"secret","tags":""}`)
			t.Cleanup(func() { rabbittest.Manage(t, http.MethodDelete, "/api/users/"+user, "") })
			rabbittest.Manage(t, http.MethodPut, "/api/permissions/"+url.PathEscape("/")+"/"+user, `{"configure":"^$","write":"^t_audit_","read":"^t_audit_"}`)
			config := made
			config.User, config.Password = user, "secret"
			if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); err != nil && !errors.Is(err, rabbit.ErrAuthentication) {
				t.Errorf("declare: %v, want nil or rabbit.ErrAuthentication", err)
			}
			if err := rabbit.Exists(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			p, err := rabbit.Dialer(config)(t.Context(), "name")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Publish(t.Context(), []stream.Message{{ID: "1", Seq: 1, Payload: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
			if upTo := <-p.Confirmed(); upTo != 1 {
				t.Errorf("confirmed %d", upTo)
			}
			found := 0
			for i := range max(config.Partitions, 1) {
				part := config
				if config.Partitions > 0 {
					part = partition(t, config, i)
				}
				found += len(readAll(t, part))
			}
			if found != 1 {
				t.Errorf("%d messages, want 1", found)
			}
		})
	}
}
