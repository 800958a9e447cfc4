package rabbit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"
)

// closeTimeout is how long Close waits for the client.
const closeTimeout = 2 * time.Second

// connect gives an environment of the client on the first host that answers. Its owner closes it with
// abandon.
func connect(ctx context.Context, c Config) (*environment, error) {
	forwardLogs()
	var errs []error
	for _, host := range c.hosts() {
		if err := c.probe(ctx, host); err != nil {
			errs = append(errs, err)
			continue
		}
		env, err := await(ctx, func() (*environment, error) {
			env, err := client.NewEnvironment(c.options(host))
			if err != nil && env != nil {
				_ = env.Close()
			}
			return &environment{Environment: env}, err
		}, (*environment).abandon)
		if err != nil {
			return nil, c.explain("connect", err)
		}
		return env, nil
	}
	return nil, errors.Join(errs...)
}

func (c Config) options(host string) *client.EnvironmentOptions {
	scheme := "rabbitmq-stream"
	// With the default socket buffers of 8 KiB the client reads some hundred messages a second; 0
	// leaves them to the kernel (client 1.8.2).
	options := client.NewEnvironmentOptions().SetReadBuffer(0).SetWriteBuffer(0).
		SetRequestedHeartbeat(c.Heartbeat).SetRPCTimeout(10 * time.Second)
	if c.TLS != nil {
		scheme += "+tls"
		options.SetTLSConfig(c.tlsFor(host))
	}
	address, port := c.split(host)
	if c.FixedAddress {
		options.SetAddressResolver(client.AddressResolver{Host: bracket(address), Port: port})
	}
	// The client puts these parts into a URI without escaping and parses it again; the virtual host it
	// unescapes twice.
	options.ConnectionParameters = []*client.Broker{{
		Scheme: scheme, Host: bracket(address), Port: strconv.Itoa(port),
		User: url.User(c.User).String(), Password: url.User(c.Password).String(),
		Vhost: url.PathEscape(url.QueryEscape(c.VHost)),
	}}
	return options
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// await calls f, which knows no context, and waits as long as ctx lives. What f gives later goes to
// discard.
func await[T any](ctx context.Context, f func() (T, error), discard func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := f()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answers; a.err == nil {
				discard(a.value)
			}
		}()
		var none T
		return none, fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// closeWithin runs f in the background and waits for its end, but not longer than closeTimeout.
func closeWithin(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
