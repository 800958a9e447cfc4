package rabbit

import (
	"errors"
	"fmt"
	"strings"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/stream"
)

var (
	// ErrAuthentication is returned, wrapped, if the server refuses the credentials or the virtual
	// host.
	ErrAuthentication = errors.New("rabbit: access refused")
	// ErrNoStreamServer is returned, wrapped, if something answers that is no RabbitMQ stream listener.
	ErrNoStreamServer = errors.New("rabbit: no stream listener")
	// ErrDeclared is returned, wrapped, by Declare if the stream exists with other limits.
	ErrDeclared = errors.New("rabbit: stream exists with other limits")
	// ErrAlarm is returned, wrapped, if the server takes nothing now: it is short of disk space or memory.
	ErrAlarm = errors.New("rabbit: server takes no messages, it may be short of disk space or memory")
	// ErrPartitions is returned, wrapped, if a super stream has not as many partitions as
	// Config.Partitions says.
	ErrPartitions = errors.New("rabbit: super stream has another number of partitions")
)

// explain gives the client's error in words that name what is wrong.
func (c Config) explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.AuthenticationFailure), errors.Is(err, client.AuthenticationFailureLoopbackError):
		return fmt.Errorf("%w: %s: user %q or its password", ErrAuthentication, c.Host, c.User)
	case errors.Is(err, client.VirtualHostAccessFailure):
		return fmt.Errorf("%w: %s: user %q has no virtual host %q", ErrAuthentication, c.Host, c.User, c.VHost)
	case errors.Is(err, client.CodeAccessRefused):
		return fmt.Errorf("%w: %s: user %q has no permission to %s", ErrAuthentication, c.Host, c.User, what)
	case errors.Is(err, client.StreamDoesNotExist):
		return fmt.Errorf("%w: %q on %s", stream.ErrNotExist, c.Stream, c.Host)
	case errors.Is(err, ErrPartitions):
		return err
	case errors.Is(err, client.PreconditionFailed) && !strings.HasPrefix(what, "declare"):
		return fmt.Errorf("%w: %s on %s", ErrAlarm, what, c.Host)
	case errors.Is(err, client.PreconditionFailed):
		return fmt.Errorf("%w: %q on %s", ErrDeclared, c.Stream, c.Host)
	}
	return fmt.Errorf("rabbit: %s on %s: %w", what, c.Host, err)
}
