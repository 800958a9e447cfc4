package rabbit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gormtrail/audit/stream"
)

// Defaults of Config: those of the specification.
const (
	DefaultHost    = "localhost"
	DefaultPort    = 5552
	DefaultTLSPort = 5551
	DefaultUser    = "guest"
	DefaultVHost   = "/"
	DefaultStream  = stream.DefaultName
)

// Config says where a stream is. The zero value is the stream audit_logs_stream of a RabbitMQ on this
// machine.
type Config struct {
	// Host is the name or address of the server, or of several nodes of one cluster, separated by
	// commas, which are tried in this order. Each may have a port of its own, as in host:5552.
	//
	// Defaults to "localhost".
	Host string
	// Port is the port of the stream protocol, not of AMQP.
	//
	// Defaults to 5552, with TLS to 5551.
	Port int
	// User and Password are the credentials. RabbitMQ takes guest from its own machine only, so that
	// guest with the password guest is refused here for any other.
	//
	// Default to "guest" and "guest".
	User     string
	Password string
	// VHost is the virtual host.
	//
	// Defaults to "/".
	VHost string
	// Stream is the name of the stream.
	//
	// Defaults to "audit_logs_stream".
	Stream string
	// Partitions is the number of partitions if the stream is a super stream, at most 255. It is fixed when
	// the super stream is made, and must be the same everywhere: it decides to which partition a record
	// goes. See SuperPublisher.
	//
	// Defaults to 0: a stream without partitions.
	Partitions int
	// TLS switches encryption on. An empty ServerName is set to the host; all nodes of a cluster must
	// have certificates for it.
	//
	// Defaults to nil: no encryption.
	TLS *tls.Config
	// FixedAddress says to connect to Host and Port only, never to the address that a node advertises:
	// for a server behind a load balancer, a tunnel or a container's port.
	FixedAddress bool
	// Heartbeat is how often both sides say that they are alive, at least 3 s. It finds a broken
	// connection that is idle; one that blocks is found by the missing confirms.
	//
	// Defaults to 10 s.
	Heartbeat time.Duration
	// ConnectTimeout limits making an end or a declaration as a whole. RabbitMQ answers wrong
	// credentials only after 3 s.
	//
	// Defaults to 15 s.
	ConnectTimeout time.Duration
}

func (c Config) withDefaults() Config {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.Host, DefaultHost)
	if c.User == "" && c.Password == "" {
		c.User, c.Password = DefaultUser, DefaultUser
	}
	set(&c.VHost, DefaultVHost)
	set(&c.Stream, DefaultStream)
	if c.Port == 0 {
		c.Port = DefaultPort
		if c.TLS != nil {
			c.Port = DefaultTLSPort
		}
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 10 * time.Second
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 15 * time.Second
	}
	return c
}

// Validate gives all mistakes of c as one error; nil if there are none.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("rabbit: "+format, args...)) }
	for _, host := range c.hosts() {
		if _, port := c.split(host); port != c.Port && (port < 1 || port > 65535) {
			bad("Config.Host has the port %d, want 1 to 65535", port)
		}
		if host == "" || strings.ContainsAny(host, "/@ ") {
			bad("Config.Host is %q, want names or addresses separated by commas", c.Host)
			break
		}
	}
	if c.Port < 1 || c.Port > 65535 {
		bad("Config.Port is %d, want 1 to 65535", c.Port)
	}
	if c.User == "" {
		bad("Config.User is empty, but Config.Password is not")
	}
	if c.Password == "" {
		bad("Config.Password is empty, but Config.User is %q", c.User)
	}
	if c.User == DefaultUser && c.Password == DefaultUser {
		for _, host := range c.hosts() {
			if name, _ := c.split(host); host != "" && !isLoopback(name) {
				bad("Config.User is guest with the password guest, which RabbitMQ takes from its own machine only, but Config.Host is %q: make a user", host)
			}
		}
	}
	if len(c.Stream) > 255 {
		bad("Config.Stream has %d bytes, want at most 255", len(c.Stream))
	}
	if c.Partitions < 0 || c.Partitions > 255 {
		bad("Config.Partitions is %d, want 0 (no super stream) or 1 to 255", c.Partitions)
	}
	if c.Heartbeat < 3*time.Second {
		bad("Config.Heartbeat is %v, want 0 (default) or at least 3s", c.Heartbeat)
	}
	if c.ConnectTimeout < 0 {
		bad("Config.ConnectTimeout is %v, want 0 (default) or more", c.ConnectTimeout)
	}
	return errors.Join(errs...)
}

// String gives the address without the password.
func (c Config) String() string {
	c = c.withDefaults()
	scheme := "rabbitmq-stream"
	if c.TLS != nil {
		scheme += "+tls"
	}
	kind := "stream"
	if c.Partitions > 0 {
		kind = fmt.Sprintf("super stream of %d partitions", c.Partitions)
	}
	return fmt.Sprintf("%s://%s@%s:%d/%s %s %s", scheme, c.User, c.Host, c.Port, c.VHost, kind, c.Stream)
}

// GoString keeps the password out of %#v.
func (c Config) GoString() string { return "rabbit.Config{" + c.String() + "}" }

func (c Config) hosts() []string {
	hosts := strings.Split(c.Host, ",")
	for i, host := range hosts {
		hosts[i] = strings.TrimSpace(host)
	}
	return hosts
}

// split gives the name and the port of one of the hosts.
func (c Config) split(host string) (name string, port int) {
	if name, text, err := net.SplitHostPort(host); err == nil {
		if port, err := strconv.Atoi(text); err == nil {
			return name, port
		}
	}
	return strings.Trim(host, "[]"), c.Port
}

func (c Config) address(host string) string {
	name, port := c.split(host)
	return net.JoinHostPort(name, strconv.Itoa(port))
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
